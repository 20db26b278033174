package ecs

import "github.com/aws/aws-sdk-go-v2/aws"

// Front names the first service that has a load balancer, and its cluster.
func (e *API) Front() (cluster, service string) {
	for _, s := range e.allServices() {
		if s.status == "ACTIVE" && len(s.primary().conf.loadBalancers) > 0 {
			return s.cluster.name, s.name
		}
	}
	return "", ""
}

// Serving is the image of the container that a listener of a service leads its next request to, in turn over the healthy
// tasks that it gives traffic to; empty if there is none. The container is that of the service's first load balancer, or
// the first of its task definition. The test listener leads to the new tasks from TEST_TRAFFIC_SHIFT on.
func (e *API) Serving(cluster, service string, test bool) string { //nolint:cyclop // one condition after the other
	s, err := e.service(&cluster, &service)
	if err != nil {
		return ""
	}
	s.asked++
	green := s.primary()
	toGreen := 100.0
	if r := green.release; r != nil && r.shift != nil && r.shift.going() {
		if toGreen = r.shift.production; test {
			toGreen = r.shift.test
		}
	}
	n := float64(s.asked)
	wantsGreen := int(n*toGreen/100) > int((n-1)*toGreen/100)
	var answering []*task
	for _, t := range s.tasks {
		rolls := green.release == nil || green.release.shift == nil
		if t.last == "RUNNING" && t.desired == "RUNNING" && t.healthy() && (rolls || (t.dep == green) == wantsGreen) {
			answering = append(answering, t)
		}
	}
	if len(answering) == 0 {
		return ""
	}
	t := answering[s.asked%len(answering)]
	c := &t.rev.def.ContainerDefinitions[0]
	if lbs := green.conf.loadBalancers; len(lbs) > 0 {
		if named := t.rev.container(aws.ToString(lbs[0].ContainerName)); named != nil {
			c = named
		}
	}
	return aws.ToString(c.Image)
}
