package verbs

import "github.com/magecloudkit/pipeline/ci/config"

// Init is the settings of init.
type Init struct {
	config.AWS
	Cluster string `env:"MCK_CLUSTER,required" or:"ECS_CLUSTER" flag:"cluster" doc:"ECS cluster"`
	Name    string `flag:"name" default:"production" doc:"what the environment is called"`
	JSON
}

// CallsAWS says that AWS is called.
func (s Init) CallsAWS() (config.AWS, bool) { return s.AWS, true }
