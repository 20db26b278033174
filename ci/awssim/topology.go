package awssim

// Topology is what there is in a world when it starts. JSON reads and writes it. A service's section is a field here,
// of a type that stands beside the service.
type Topology struct {
	Account string `json:"account"`
	Region  string `json:"region"`
}

// DefaultTopology is MageCloudKit's own.
func DefaultTopology() *Topology {
	return &Topology{Account: "111111111111", Region: "us-east-1"}
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
