package verbs

import "github.com/magecloudkit/pipeline/ci/config"

// Doctor is the settings of doctor: none is required, since it says what is missing.
type Doctor struct {
	config.AWS
	Environment  string   `env:"MCK_ENVIRONMENT" flag:"environment" dagger:"-" doc:"environment of magecloudkit.yaml whose settings count where nothing else is given; a word after the verb is one, too"`
	Cluster      string   `env:"MCK_CLUSTER" or:"ECS_CLUSTER" flag:"cluster" doc:"ECS cluster"`
	Services     []string `env:"MCK_SERVICES" or:"ECS_SERVICES" flag:"service" doc:"ECS services; the first one's revision runs one-off tasks"`
	CronRules    []string `env:"MCK_CRON_RULES" flag:"cron-rule" doc:"EventBridge rules that run cron, NAME or BUS/NAME"`
	Schedules    []string `env:"MCK_SCHEDULES" flag:"schedule" doc:"schedules of EventBridge Scheduler that run cron, NAME or GROUP/NAME"`
	Registry     string   `env:"AWS_ECR_URL" flag:"registry" dagger:"^awsEcrUrl" doc:"address of the registry; the account's ECR if not set"`
	Prefix       string   `env:"MCK_REPOSITORY_PREFIX,default=magecloudkit" flag:"prefix" doc:"first part of the repositories' names"`
	Repositories []string `env:"MCK_REPOSITORIES" flag:"repository" dagger:"ecrRepository" doc:"repositories of the store's own images, instead of PREFIX/magento2 and PREFIX/nginx; 'ecr' for every image in a private ECR registry"`
	Source       string   `flag:"source" default:"magento" dagger:"^source" make:"SOURCE" doc:"the store: a directory with composer.json; it is only read"`
	InEngine     bool     `flag:"in-engine" dagger:"-" doc:"this is a container of dagger's engine, so dagger and Docker are not looked for"`
	JSON
}
