package pipelines

import (
	"strings"
	"testing"

	"github.com/magecloudkit/pipeline/ci/docs/surface"
)

// mistake is one that people make: a text in the place of another.
type mistake struct {
	name, old, new, want string
	on                   string // what stands in the line that is named, where that is not where the mistake was made
}

// found holds a checker to mistakes: each must be found, with its file and its line.
func found(t *testing.T, check func(string, []byte, surface.Surface) []problem, name string, mistakes []mistake) {
	t.Helper()
	s := module(t)
	original := string(read(t, name))
	for _, m := range mistakes {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			before, after, ok := strings.Cut(original, m.old)
			if !ok {
				t.Fatalf("%s has no %q to make a mistake in", name, m.old)
			}
			text := before + m.new + after
			first := 1 + strings.Count(before, "\n")
			if strings.HasPrefix(m.new, "\n") {
				first++
			}
			last := max(first, first+strings.Count(strings.TrimSpace(m.new), "\n"))
			lines := strings.Split(text, "\n")
			problems := check(name, []byte(text), s)
			for _, p := range problems {
				at := p.line >= first && p.line <= last
				if m.on != "" {
					at = p.line > 0 && p.line <= len(lines) && strings.Contains(lines[p.line-1], m.on)
				}
				if p.file == name && at && strings.Contains(p.text, m.want) {
					return
				}
			}
			t.Errorf("not found in line %d; reported:\n%s", first, sprint(problems))
		})
	}
}

func TestMistakesInCircleCI(t *testing.T) {
	found(t, checkCircleCI, ".circleci/config.yml", []mistake{
		// structure
		{name: "YAML", old: "jobs:\n  build:\n", new: "jobs:\n\tbuild:\n", want: "found character that cannot start any token"},
		{name: "version", old: "version: 2.1", new: "version: 2", want: "version must be 2.1", on: "version: 2"},
		{name: "a key at the top", old: "executors:\n", new: "executor:\n", want: "has no key executor"},
		{name: "a key of a step", old: "no_output_timeout: 20m", new: "no-output-timeout: 20m", want: "no key no-output-timeout"},
		{name: "a key of a job", old: "    executor: docker-host\n", new: "    executer: docker-host\n", want: "no key executer"},
		{name: "a key twice", old: "          push: true\n", new: "          push: true\n          push: false\n", want: "the key push stands here twice"},
		{name: "a time", old: "no_output_timeout: 20m", new: "no_output_timeout: 20 minutes", want: "no time such as"},
		{name: "when", old: "when: always", new: "when: ever", want: "none of always"},
		{name: "a step's name", old: "- attach_workspace:", new: "- attach_workspaces:", want: "there is no step attach_workspaces"},
		{name: "remote docker on a machine", old: "      - checkout\n", new: "      - checkout\n      - setup_remote_docker\n", want: "setup_remote_docker"},
		{name: "a machine without an image", old: "image: ubuntu-2404:current", new: "resource: x", want: "no image"},
		{name: "a resource class", old: "resource_class: large", new: "resource_class: huge", want: "no resource class huge"},
		{name: "filters as a mapping", old: `filters: pipeline.git.branch != "main"`, new: "filters: {branches: {ignore: main}}", want: "deprecated"},
		// names
		{name: "a job's name", old: "      - deploy:\n          name", new: "      - deplyo:\n          name", want: "there is no job deplyo"},
		{name: "a command's name", old: "      - stop\n\n  deploy:", new: "      - halt\n\n  deploy:", want: "there is no step halt"},
		{name: "an executor's name", old: "executor: docker-host", new: "executor: dockerhost", want: "there is no executor dockerhost"},
		{name: "an environment's name", old: "          to: staging\n", new: "          to: test\n", want: "there is no executor test"},
		{name: "an environment that is chosen", old: "    enum: [staging, production]", new: "    enum: [staging, production, test]", want: "there is no executor test"},
		{name: "two names", old: "name: build-and-push", new: "name: build", want: "two jobs build", on: "- build:"},
		{name: "nobody's command", old: "\njobs:\n  build:\n", new: "\n  idle:\n    steps: [checkout]\njobs:\n  build:\n", want: "command idle is not used"},
		{name: "nobody's executor", old: "\ncommands:\n", new: "\n  test:\n    machine: {image: ubuntu-2404:current}\ncommands:\n", want: "executor test is not used"},
		{name: "an approval with a job's name", old: "      - hold:\n", new: "      - cleanup:\n", want: "has the name of a job"},
		// parameters and values
		{name: "an undeclared parameter", old: "BUILD: << parameters.build >>", new: "BUILD: << parameters.bild >>", want: "no parameter bild"},
		{name: "an unused parameter", old: "BUILD_NUM: << parameters.build >>", new: "BUILD_NUM: \"1\"", want: "job rollback does not use its parameter build", on: "      build:"},
		{name: "an undeclared parameter of the pipeline", old: "build: << pipeline.parameters.build >>", new: "build: << pipeline.parameters.number >>", want: "no pipeline parameter number"},
		{name: "an unused parameter of the pipeline", old: "\nexecutors:\n", new: "\n  idle:\n    type: boolean\n    default: false\nexecutors:\n", want: "parameter idle is not used"},
		{name: "a parameter of the pipeline without a default", old: "    default: release\n", new: "", want: "needs a default", on: "description: What the pipeline does"},
		{name: "a missing argument", old: "          to: staging\n", new: "", want: "needs the parameter to", on: "- deploy:"},
		{name: "an unknown argument", old: "          push: true", new: "          publish: true", want: "has no parameter publish"},
		{name: "an argument of another type", old: "push: true", new: "push: maybe", want: "is no boolean"},
		{name: "an enum's default", old: "default: release", new: "default: nothing", want: `"nothing" is no enum`},
		{name: "a pipeline value", old: "pipeline.project.slug", new: "pipeline.slug", want: "no value pipeline.slug"},
		{name: "a pipeline value in a filter", old: "pipeline.git.branch !=", new: "pipeline.branch !=", want: "no value pipeline.branch"},
		{name: "a value that an enum never has", old: `pipeline.parameters.action == "cleanup"`, new: `pipeline.parameters.action == "clean"`, want: `is never "clean"`},
		{name: "an expression", old: `filters: pipeline.git.branch != "main"`, new: `filters: pipeline.git.branch = "main"`, want: "is no expression"},
		// order
		{name: "a required job", old: "requires: [hold]", new: "requires: [approve]", want: "requires approve", on: "- deploy:"},
		{name: "a cycle", old: "requires: [build-and-push]", new: "requires: [deploy-production]", want: "wait for each other", on: "- deploy:"},
		{name: "how a job ends", old: "requires: [hold]", new: "requires: [{hold: passed}]", want: "does not end as passed"},
		{name: "a workspace that nobody fills", old: "requires: [build-and-push]", new: "requires: []", want: "no job before it leaves anything there", on: "- deploy:"},
		{name: "no serial-group", old: "          serial-group: << pipeline.project.slug >>/deploy-production\n", new: "", want: "has no serial-group", on: "- deploy:"},
		{name: "a serial-group's letters", old: "/deploy-staging", new: "/deploy staging", want: "serial-group has letters"},
		{name: "a serial-group twice", old: "/deploy-production", new: "/deploy-staging", want: "the same serial-group"},
		// shell
		{name: "a script's syntax", old: "            mkdir -p /tmp/release\n", new: "            if mkdir -p /tmp/release\n", want: "bash cannot read it", on: "echo \"$CIRCLE_BUILD_NUM\""},
		{name: "an unescaped <<", old: "            mkdir -p /tmp/release\n", new: "            cat <<EOF\n", want: `must be written \<<`},
		{name: "a parameter in a script", old: `cat /tmp/release/build-num)}"`, new: `cat /tmp/release/build-num)}" << parameters.build >>`, want: "through the environment"},
		{name: "a pipeline value in a script", old: `--revision="$CIRCLE_SHA1"`, new: `--revision=<< pipeline.git.revision >>`, want: "through the environment"},
		{name: "another program", old: "command: dagger --progress=logs call \"${store[@]}\" check", new: "command: composer validate", want: "calls composer, which is neither dagger nor make"},
		{name: "a step that does nothing", old: "command: dagger --progress=logs call \"${store[@]}\" check", new: "command: echo checking", want: "neither dagger nor make, and leaves nothing"},
		{name: "a target of make", old: "make pin", new: "make pins", want: "no target pins"},
		{name: "a function", old: "push --build-num", new: "pusch --build-num", want: "no function pusch", on: "dagger --progress=logs call --smoke=false"},
		{name: "a function's flag", old: "--revision-time=", new: "--commit-time=", want: "no flag --commit-time", on: "dagger --progress=logs call"},
		{name: "a flag that calls have in common", old: "--composer-auth=", new: "--auth=", want: "no flag --auth", on: "dagger --progress=logs call"},
		{name: "a missing flag", old: `build --build-num="$CIRCLE_BUILD_NUM" --revision`, new: "build --revision", want: "--build-num is missing", on: "dagger --progress=logs call"},
		{name: "words that nothing sets", old: `rollback ${BUILD_NUM:+--to="$BUILD_NUM"} "${release[@]}"`, new: `rollback "${where[@]}"`, want: "nothing sets $where"},
		// secrets
		{name: "a secret in a command line", old: "--new-relic-api-key=env://NEW_RELIC_API_KEY", new: "--new-relic-entity-guid=\"$NEW_RELIC_API_KEY\"", want: "NEW_RELIC_API_KEY would stand in a command line"},
		{name: "a secret in the environment", old: "      ENVIRONMENT: staging\n", new: "      ENVIRONMENT: staging\n      MAGENTO_PRIVATE_KEY: 0123456789abcdef0123456789abcdef\n", want: "the value of MAGENTO_PRIVATE_KEY stands in the file"},
		{name: "a secret", old: "    description: Where to roll back", new: "    description: with AKIAIOSFODNN7ABCDEFG, where to roll back", want: "a secret stands in the file"},
		{name: "a variable's name", old: "      ENVIRONMENT: staging\n", new: "      ECS-CLUSTER: staging\n", want: "is no name of a variable"},
	})
}
