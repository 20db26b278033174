package ecs

import (
	"fmt"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
)

// sizes returns what a task reserves on a container instance, in CPU units and MiB: what the task says, else the sum of
// what its containers say.
func sizes(rev *revision, over types.TaskOverride) (cpu, memory int32) {
	for _, c := range rev.def.ContainerDefinitions {
		cpu += c.Cpu
		if c.MemoryReservation != nil {
			memory += *c.MemoryReservation
		} else {
			memory += value(c.Memory)
		}
	}
	pick := func(sum int32, sizes ...*string) int32 {
		for _, s := range sizes {
			if n, err := strconv.Atoi(value(number(s))); err == nil {
				return int32(n)
			}
		}
		return sum
	}
	return pick(cpu, over.Cpu, rev.def.Cpu), pick(memory, over.Memory, rev.def.Memory)
}

// noRoom is why a task could not be placed.
type noRoom struct {
	reason   string    // as RunTask's failures have it: "RESOURCE:MEMORY"
	closest  *instance // the one that comes closest; nil on Fargate or where there is none
	detailed string    // as a service's event has it
}

// place finds room for a task ("Amazon ECS task placement"; on EC2 the instance with the most memory left is taken).
func (t *task) place() *noRoom {
	for _, c := range t.containers {
		if c.b.NoCapacity {
			if t.launch == types.LaunchTypeFargate {
				why := "Capacity is unavailable at this time. Please try again later or in a different availability zone"
				return &noRoom{reason: why, detailed: fmt.Sprintf("was unable to place a task. Reason: %s.", why)}
			}
			return t.lacks("RESOURCE:MEMORY", nil)
		}
	}
	if t.launch == types.LaunchTypeFargate {
		return nil
	}
	var best, closest *instance
	why := ""
	for _, i := range t.cluster.instances {
		if short := i.short(t); short != "" {
			closest, why = i, short
			continue
		}
		_, free, _ := i.left()
		if best == nil {
			best = i
		} else if _, most, _ := best.left(); free > most {
			best = i
		}
	}
	if best == nil {
		return t.lacks(why, closest)
	}
	t.instance = best
	best.tasks = append(best.tasks, t)
	return nil
}

// lacks words a failed placement as "Amazon ECS service event messages" does.
func (t *task) lacks(why string, closest *instance) *noRoom {
	const lead = "was unable to place a task because no container instance met all of its requirements. "
	const more = " For more information, see the Troubleshooting section of the Amazon ECS Developer Guide."
	if closest == nil && len(t.cluster.instances) > 0 {
		closest = t.cluster.instances[0]
	}
	if closest == nil {
		return &noRoom{reason: "RESOURCE:MEMORY", detailed: lead + "Reason: No Container Instances were found in your cluster." + more}
	}
	words := map[string]string{
		"RESOURCE:CPU":    "has insufficient CPU units available.",
		"RESOURCE:MEMORY": "has insufficient memory available.",
		"RESOURCE:PORTS":  "is already using a port required by your task.",
		"AGENT":           "encountered error \"AGENT\".",
	}
	return &noRoom{reason: why, closest: closest, detailed: fmt.Sprintf("%sThe closest matching (container-instance %s) %s%s", lead, closest.id, words[why], more)}
}
