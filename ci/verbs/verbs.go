// Package verbs describes the verbs, once for every surface: the settings of each, in structs whose tags say everything
// about a setting (see package config), and the table [All]. mck binds its flags from them; ci/gen writes from them the
// Dagger functions of those that speak with AWS (verbs.gen.go), what make hands on (ci/verbs.mk) and the tables of the
// README.
//
// It imports little, so that all of them can import it.
package verbs

import "strings"

// Verb describes a verb.
type Verb struct {
	Name  string // as it is typed; "env set" is a verb of the group env
	Short string // what it does, in a line
	Long  string // the help of mck
	Codes string // exit codes that a Dagger function's help names too; they stand in Long for mck
	// Settings points to a new struct of its settings.
	Settings any
	Args     Args
	Dagger   *Function // nil: there is no Dagger function
	Make     bool      // make has a target of this name
}

// Args are the words that follow a verb's flags.
type Args struct {
	Usage  string // as the help of mck has them: "NAME=VALUE..."; empty: there are none
	Dagger string // the Dagger function's parameter
	Doc    string
}

// Function is what a Dagger function has besides its verb's settings.
type Function struct {
	ByHand bool   // it stands in package main, and its parameters are compared with the settings
	Doc    string // what follows the first line of its comment
	Build  bool   // it builds the images first, and has the settings of the function build
	Store  bool   // it is given the store, and composer's credentials
	Except string // parameters that would mean nothing here, separated by spaces
	Bare   bool   // what it returns is one word, without the end of the line
	Implied
}

// Implied is a flag of mck that is given if a condition of the parameters holds, in Go.
type Implied struct{ Flag, If string }

// Group is what verbs such as "env list" have in common; under dagger it is a function that returns an object.
type Group struct {
	Name, Short, Type string
	Settings          any // pointer to a struct; the group's own parameters
}

// Groups are all groups.
var Groups = []Group{{
	Name: "env", Type: "Environment", Settings: &Target{},
	Short: "The environment of the running containers: list, set or unset variables",
}}

// Find returns a verb of the table. There must be one.
func Find(name string) Verb {
	for _, v := range All() {
		if v.Name == name {
			return v
		}
	}
	panic("there is no verb " + name + " in the table")
}

// Group returns the group's name of a verb such as "env set", and the verb's own; the first is empty if it has none.
func (v Verb) Group() (group, name string) {
	group, name, ok := strings.Cut(v.Name, " ")
	if !ok {
		return "", v.Name
	}
	return group, name
}
