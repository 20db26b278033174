// Package wire is how calls travel: the protocols awsJson1.1 and query, the SDK's own types as what a call may say and
// what is answered, a service as a table of operations, and errors as AWS answers them. It carries nothing out.
package wire

import (
	"reflect"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/ecs/types"
	scheduler "github.com/aws/aws-sdk-go-v2/service/scheduler/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
)

// What a service can be told and can answer is what the SDK's own types say: JSON and forms are read into them and
// written from them. Members carry the names of the SDK's schemas. Unlike the SDK's own serializers, encode.go writes a
// count that is 0 and a flag that is false: AWS does, and clients look at them (the waiter services-stable compares
// counts).

// member is a field of an SDK type that travels.
type member struct {
	index int
	name  string // on the wire
	key   string // as JSON has it: "name":
}

type shape struct {
	members []member
	byName  map[string]int // index into members
}

var shapes sync.Map // reflect.Type → *shape

var (
	timeType     = reflect.TypeFor[time.Time]()
	metadataType = reflect.TypeFor[middleware.Metadata]()
)

// unions holds, for an interface type that stands for a union, its variants by their name on the wire.
var unions = map[reflect.Type]map[string]reflect.Type{
	reflect.TypeFor[types.SharingStrategy](): {
		"nvidiaMps": reflect.TypeFor[types.SharingStrategyMemberNvidiaMps](),
	},
	reflect.TypeFor[types.ServiceConnectContainerConfiguration](): {
		"logLevel": reflect.TypeFor[types.ServiceConnectContainerConfigurationMemberLogLevel](),
	},
}

// lowerCase are the shapes without a schema whose members begin with a small letter on the wire.
var lowerCase = map[reflect.Type]bool{
	reflect.TypeFor[scheduler.CapacityProviderStrategyItem](): true,
	reflect.TypeFor[scheduler.NetworkConfiguration]():         true,
	reflect.TypeFor[scheduler.PlacementConstraint]():          true,
	reflect.TypeFor[scheduler.PlacementStrategy]():            true,
}

// shapeOf returns the members of an SDK type.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	names := map[string]string{} // lower case → on the wire
	if v, ok := reflect.New(t).Interface().(smithy.Serializable); ok {
		if schema := schemaOf(v); schema != nil { // nil: a type without members
			for name := range schema.Members() {
				names[strings.ToLower(name)] = name
			}
		}
	}
	s := &shape{byName: map[string]int{}}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || f.Type == metadataType {
			continue
		}
		name := f.Name // the other protocols' services have the names of their model
		if lowerCase[t] {
			name = strings.ToLower(name[:1]) + name[1:]
		}
		if n, ok := names[strings.ToLower(name)]; ok {
			name = n
		}
		s.byName[name] = len(s.members)
		s.members = append(s.members, member{index: i, name: name, key: strconv.Quote(name) + ":"})
	}
	shapes.Store(t, s)
	return s
}

// Knows says whether a type of the SDK has a member, by its name on the wire.
func Knows(t reflect.Type, member string) bool {
	_, ok := shapeOf(t).byName[member]
	return ok
}

// schemaProbe is a serializer that only learns of which schema the value is that is written to it.
type schemaProbe struct{ smithy.ShapeSerializer }

func (schemaProbe) WriteStruct(s *smithy.Schema) { panic(s) }

// schemaOf returns the schema of an SDK value: the first thing that every one writes.
func schemaOf(v smithy.Serializable) (s *smithy.Schema) {
	defer func() {
		if p := recover(); p != nil {
			s = p.(*smithy.Schema) // anything else is a fault of ours, and goes on
		}
	}()
	v.Serialize(schemaProbe{})
	return nil
}
