package awssim

// Topology is what there is in a world when it starts. JSON reads and writes it. A service's section is a field here,
// of a type that stands beside the service.
type Topology struct {
	Account string `json:"account"`
	Region  string `json:"region"`

	Clusters        []ClusterSpec        `json:"clusters,omitempty"`
	TaskDefinitions []TaskDefinitionSpec `json:"taskDefinitions,omitempty"`
	Services        []ServiceSpec        `json:"services,omitempty"`
	Behaviors       []Behavior           `json:"behaviors,omitempty"`

	Repositories []RepositorySpec `json:"repositories,omitempty"`
	Rules        []RuleSpec       `json:"rules,omitempty"`
	LogGroups    []string         `json:"logGroups,omitempty"`
	Secrets      []SecretSpec     `json:"secrets,omitempty"`
	Parameters   []ParameterSpec  `json:"parameters,omitempty"`
	Roles        []string         `json:"roles,omitempty"` // without path and ARN
}

// DefaultTopology is MageCloudKit's own.
func DefaultTopology() *Topology {
	const account, region = "111111111111", "us-east-1"
	return &Topology{
		Account: account, Region: region,
		Clusters:        defaultClusters(),
		TaskDefinitions: defaultTaskDefinitions(account, region),
		Services:        defaultServices(account, region),
		Behaviors:       defaultBehaviors(),
		Repositories:    defaultRepositories(),
		Rules:           defaultRules(account, region),
		LogGroups:       []string{"/ecs/production-app", "/ecs/production-consumers", "/ecs/production-cron"},
		Secrets:         []SecretSpec{{Name: "production/magento", Value: `{"MYSQL_PASSWORD":"simulated","CRYPT_KEY":"simulated"}`}},
		Parameters:      []ParameterSpec{{Name: "/production/magento/mysql-host", Value: "mysql.production.internal"}},
		Roles:           []string{"ecsTaskExecutionRole", "magento-task", "ecsEventsRole"},
	}
}

// build lets every service make its section of the topology, last constructor first: ECS, whose tasks need what
// the others have, comes last.
func (w *World) build(t *Topology) error {
	for i := range w.services {
		s := w.services[len(w.services)-1-i]
		if s.build == nil {
			continue
		}
		if err := s.build(t); err != nil {
			return err
		}
	}
	return nil
}
