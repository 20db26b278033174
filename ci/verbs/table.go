package verbs

import "slices"

// Exit codes, as a verb's help has them.
const (
	deployCodes = `Exit codes: 0 released; 2 usage or settings; 3 refused before any change;
4 migration failed, services untouched; 5 rollout failed and rolled back;
6 rollout failed and not rolled back; 7 timed out; 8 superseded by another
deployment; 1 anything else, an interruption among it.`
	verifyCodes = `Exit codes: 0 nothing stands in the way; 2 usage or settings; 3 something does;
1 anything else.`
	rollbackCodes = `Exit codes: 0 the earlier build runs; 2 usage or settings; 3 refused before any
change; 6 the services are not back; 7 timed out; 8 superseded by another
deployment; 1 anything else.`
)

// DeployCodes are the exit codes of deploy, which verbs outside of the table share.
const DeployCodes = "\n" + deployCodes

// All lists the verbs, with settings of their own that may be changed.
func All() []Verb {
	return slices.Concat(buildVerbs(), registryVerbs(), releaseVerbs(), lookVerbs())
}

// registryVerbs are those about images.
func registryVerbs() []Verb { //nolint:funlen // a table
	return []Verb{
		{
			Name: "get-ecr", Short: "Print the address of the account's Amazon ECR registry",
			Long: `get-ecr prints the address of the registry alone, for use in a script:

  make push BUILD_NUM=42 AWS_ECR_URL=$(make -s get-ecr)`,
			Settings: &GetECR{},
			Dagger:   &Function{Bare: true},
			Make:     true,
		},
		{
			Name: "push", Short: "Push a build's two images to Amazon ECR, or to any other registry",
			Long: `push sends the images that 'mck build' left to REGISTRY/PREFIX/magento2:BUILD_NUM
and REGISTRY/PREFIX/nginx:BUILD_NUM. Layers that the registry has are not sent
again. The tags are set when both images are there: either both builds have them
or none has.

Without --registry and AWS_ECR_URL the images go to the account's ECR. For a
registry that is not ECR, the credentials of 'docker login' are used.

Images that build, or 'mck smoke', has not run as a shop are run first, where this
machine can. With --fail-on the packages' known vulnerabilities are looked up, as by
'mck audit'. Nothing is sent before both are well.

Exit codes: 0 pushed; 2 usage or settings; 3 refused, because a tag names another
image and may not move, the images do not serve, or because of --fail-on; 1 anything
else.`,
			Settings: &Push{},
			Dagger: &Function{
				Build: true,
				Doc: `Builds them first, if that is not done. Layers that the registry has are not sent
again. Both images get the tag, or neither does. Without --aws-ecr-url they go to
the account's own ECR.`,
			},
			Make: true,
		},
		{
			Name: "inspect", Short: "Show what is in a build's images, layer by layer, and what differs from another build",
			Long: `inspect lists the layers of the images that 'mck build' left, or of those that the
registry has under --build-num: size, files, the largest of them. With --against it
says which files and settings differ from another build, and how much a host that
has the other one downloads.

  mck inspect --against 299
  mck inspect --build-num 300 --against 299
  mck inspect oci:out/nginx registry.example/shop/magento2:300

Exit codes: 0 shown; 2 usage or settings; 1 an image could not be read.`,
			Settings: &Inspect{},
			Args:     Args{Usage: "[IMAGE...]"},
			Dagger: &Function{
				Build: true,
				Doc: `Builds them first, if that is not done. The other build may be one that the
registry has (--against=299).`,
			},
			Make: true,
		},
		{
			Name: "audit", Short: "List the known vulnerabilities of the packages in a build's images",
			Long: `audit reads which composer and Debian packages are in the images that 'mck build'
left, or that the registry has under --build-num, and asks a database (OSV) what is
known of them. The database is told their names and versions, and nothing else.

  mck audit --fail-on critical
  mck audit --build-num 300

Exit codes: 0 looked up, and nothing that --fail-on names; 2 usage or settings;
3 there is something that --fail-on names; 1 the database could not be asked, or an
image not read.`,
			Settings: &Audit{},
			Args:     Args{Usage: "[IMAGE...]"},
			Dagger: &Function{
				Build: true,
				Doc:   `Builds them first, if that is not done. Ends with an error if there is one that --fail-on names.`,
			},
			Make: true,
		},
		{
			Name: "cleanup", Short: "Delete old images from Amazon ECR that nothing can still need",
			Long: `cleanup shows which images of the two repositories could be deleted, and why the
others are kept; with --yes it deletes them.

Kept is whatever running and stopped tasks, services, their deployments and task
sets, rules on every event bus, schedules of EventBridge Scheduler and the newest
revisions of every task definition family refer to, in all clusters of all
regions; the last builds; tags to keep; what is young; the parts of an index that
is kept, and what is attached to an image that is kept. All of that is looked at again just before deleting.

Exit codes: 0 done; 2 usage or settings; 1 something could not be read or deleted.`,
			Settings: &Cleanup{},
			Dagger: &Function{
				Doc: `It shows what it would delete, and what is kept because of what, and deletes
only with --yes.`,
			},
			Make: true,
		},
	}
}

// releaseVerbs are those that change what runs, or say what would change.
func releaseVerbs() []Verb { //nolint:funlen // a table
	return []Verb{
		{
			Name: "deploy", Short: "Release a build to Amazon ECS, with no downtime",
			Long: `deploy checks everything first, registers the new revisions, upgrades the database
once if that is needed, rolls every service, flushes the cache, asks the shop
(--probe), moves cron, and returns to what ran before if the roll fails or the
shop does not answer:

  mck deploy --cluster production-app --service web --service consumers \
    --cron-rule magento-cron --build-num 300 --timeout 6m \
    --probe https://shop.example/

Running the same command again carries on with a release that was interrupted.
` + DeployCodes,
			Codes:    deployCodes,
			Settings: &Deploy{},
			Dagger: &Function{
				Doc: `It checks everything first, registers the new revisions, upgrades the database
once if that is needed, rolls every service, flushes the cache, asks the shop
(--probe), moves cron, and returns to what ran before if the roll fails or the shop
does not answer. The same command again carries on with a release that was interrupted. The function report hands out its page.`,
			},
			Make: true,
		},
		{
			Name: "continue", Short: "Go on with a release that stands at a pause",
			Long: `continue ends the pauses (lifecycle hooks of type PAUSE) at which the services'
deployments stand, follows them to their end, and does what is left of the release:
the cache, the shop (--probe), cron. The build is the one that is being rolled out.

  mck deploy production --build-num 300 --wait-until POST_TEST_TRAFFIC_SHIFT
  mck continue production

` + DeployCodes,
			Codes:    deployCodes,
			Settings: &Continue{},
			Dagger:   &Function{},
			Make:     true,
		},
		{
			Name: "install", Short: "Install the store into an empty database: the first step of a new environment",
			Long: `install runs the image's magento-install as a one-off task of the first service, on a
revision of its own that goes afterwards, and shows its log. No service is touched;
deploy comes next. Run again after an interruption, it waits for the end of that task, or
tells it. It is refused if the database has tables.

  mck install --cluster staging --service web --build-num 42 \
    --base-url https://staging.example.com/ --search-host search.internal \
    --admin-user jane --admin-email jane@example.com --admin-password-secret arn:…

Exit codes: 0 installed; 2 usage or settings; 3 refused, nothing was changed; 4 it
failed, and the database is to be dropped; 1 anything else, an interruption among it.`,
			Settings: &Install{},
			Dagger: &Function{
				Doc: `As a one-off task of the first service, on a revision of its own that goes
afterwards. No service is touched; deploy comes next. Run again after an interruption,
it waits for the end of that task, or tells it. It is refused if the database has
tables.`,
			},
			Make: true,
		},
		{
			Name: "rollback", Short: "Return the services and cron to the build that ran before",
			Long: `rollback stops a rollout in flight, or deploys the revisions of an earlier build
again, waits for it, flushes the cache, moves cron and asks the shop (--probe). The
database stays as it is.

` + rollbackCodes,
			Codes:    rollbackCodes,
			Settings: &Rollback{},
			Dagger: &Function{
				Doc: `It stops a rollout in flight, or deploys the revisions of an earlier build again,
waits for it, flushes the cache, moves cron and asks the shop (--probe). The database
stays as it is.`,
			},
			Make: true,
		},
		{
			Name: "verify", Short: "Check whether a build could be released, and change nothing",
			Long: `verify is the preflight of deploy alone: cluster, services, images, roles, secrets,
log groups, cron rules, schedules, health checks, and what may be read. Everything
that is wrong is reported at once.

` + verifyCodes,
			Codes:    verifyCodes,
			Settings: &Verify{},
			Dagger:   &Function{},
			Make:     true,
		},
		{
			Name: "diff", Short: "Show what releasing a build would change in the task definitions",
			Long: `diff prints the changes of every task definition, by container and variable.
Values that may be secret are not shown.

Exit codes: 0 shown; 2 usage or settings; 3 something is wrong; 1 anything else.`,
			Settings: &Verify{},
			Dagger:   &Function{},
			Make:     true,
		},
		{
			Name: "env set", Short: "Set variables, and roll the services",
			Long: `set sets variables of the containers that run the store's code, or with
CONTAINER/NAME=VALUE of that one, and rolls the services. The build stays. With --secret the values are ARNs of
secrets: a secret value itself has no place on a command line.
` + DeployCodes,
			Codes:    deployCodes,
			Settings: &EnvSet{},
			Args:     Args{Usage: "NAME=VALUE...", Dagger: "variables", Doc: "The variables, as NAME=VALUE or CONTAINER/NAME=VALUE."},
			Dagger:   &Function{},
		},
		{
			Name: "env unset", Short: "Remove variables, and roll the services",
			Long: `unset removes variables from the containers that run the store's code, or with
CONTAINER/NAME from that one, and rolls the services. The build stays.
` + DeployCodes,
			Codes:    deployCodes,
			Settings: &EnvUnset{},
			Args:     Args{Usage: "NAME...", Dagger: "names", Doc: "The variables, as NAME or CONTAINER/NAME."},
			Dagger:   &Function{},
		},
	}
}

// lookVerbs are those that look, run one command, or touch nothing real.
func lookVerbs() []Verb { //nolint:funlen // a table
	return []Verb{
		{
			Name: "status", Short: "Show which build runs where, and where services, consumers and cron disagree",
			Long: `status prints a table of the services, cron rules and schedules: build, commit, revision,
tasks, and where they do not agree.

Exit codes: 0 shown; 2 usage or settings; 1 something could not be read.`,
			Settings: &Look{},
			Dagger:   &Function{},
			Make:     true,
		},
		{
			Name: "history", Short: "Show which builds were released, by whom, when, and how it went",
			Long: `history lists the deployments that ECS remembers, which are those of the last 90
days. A build and a person are known of what mck released.

Exit codes: 0 shown; 2 usage or settings; 1 something could not be read.`,
			Settings: &History{},
			Dagger:   &Function{},
			Make:     true,
		},
		{
			Name: "logs", Short: "Show the logs of the services' containers, by build",
			Long: `logs prints the lines of all containers of the services, of tasks that run and of
those that have stopped within the last hour, each with its service, build, task and
container:

  mck logs --cluster production-app --service web --follow
  mck logs --cluster production-app --service web --build 300 --since 1h

Containers have to log with awslogs and a stream prefix. Exit codes: 0 shown, or
followed until it was interrupted; 2 usage or settings; 3 refused; 1 anything else.`,
			Settings: &Logs{},
			Dagger:   &Function{},
			Make:     true,
		},
		{
			Name: "wait", Short: "Wait until no deployment is in progress and all tasks run",
			Long: `wait follows the services' deployments as deploy does, whoever began them.

Exit codes: 0 steady; 2 usage or settings; 3 refused; 5 ECS rolled back; 6 it gave a
deployment up; 7 timed out; 8 superseded; 1 anything else.`,
			Settings: &Wait{},
			Dagger:   &Function{},
			Make:     true,
		},
		{
			Name: "scale", Short: "Change how many tasks the services run, and wait for them",
			Long: `scale sets the desired count of every service named. It is refused while a deployment
is in progress. What scales by itself (Application Auto Scaling) may change it again.

Exit codes: 0 as many tasks run; 2 usage or settings; 3 refused; 7 timed out; 1
anything else.`,
			Settings: &Scale{},
			Dagger:   &Function{},
			Make:     true,
		},
		{
			Name: "exec", Short: "Open a shell, or run a command, in a container that runs (ECS Exec)",
			Long: `exec starts a command in a container of the youngest task of the first service that
ECS Exec is enabled for, with this terminal. It needs AWS's session-manager-plugin.

  mck exec --cluster production-app --service web
  mck exec --cluster production-app --service web -- bin/magento cache:status

'mck run' is the better way to run a command: as a task of its own, with its exit
code. Exit codes: those of session-manager-plugin; 2 usage or settings; 3 refused;
1 anything else.`,
			Settings: &Exec{},
			Args:     Args{Usage: "[-- COMMAND [ARG...]]"},
		},
		{
			Name: "env list", Short: "List the environment of every container; secret values are not shown",
			Settings: &Look{},
			Dagger:   &Function{},
		},
		{
			Name: "run", Short: "Run one command as a task on the revision that runs",
			Long: `run starts a one-off task on the first service's revision, with that service's
network, shows its log, and ends with the command's exit code:

  mck run --cluster production-app --service web -- bin/magento cache:status

Without an exit code of the command: 2 usage or settings; 3 refused; 7 timed out;
1 anything else.`,
			Settings: &Run{},
			Args:     Args{Usage: "-- COMMAND [ARG...]", Dagger: "args", Doc: "The command and its arguments."},
			Dagger: &Function{
				Doc: `Shows its log, and ends with the command's own exit code: run --cluster=C
--service=web --args=bin/magento,cache:status.`,
			},
		},
		{
			Name: "rehearse", Short: "Release against a simulated AWS, failures included",
			Long: `rehearse plays scenarios: releases of a build to a simulated AWS in which something
goes wrong. Each has a verdict that it must end with, and a state that it must
leave behind. Time is simulated, so a scenario takes milliseconds. Nothing outside
this process is reached.

  mck rehearse --list
  mck rehearse --scenario 'out of memory'     shows that release step by step
  mck rehearse --all

Exit codes: 0 all as expected; 1 a verdict or a state differs; 2 usage.`,
			Settings: &Rehearse{},
			Dagger: &Function{
				Doc: `Each scenario has a verdict that it must end with, and a state that it must leave
behind. Time is simulated, and nothing outside is reached. Without --scenario and
--list it plays all of them.`,
				Except:  "all",
				Implied: Implied{Flag: "all", If: `scenario == "" && !list`},
			},
			Make: true,
		},
		{
			Name: "init", Short: "Write down what a running cluster is, in magecloudkit.yaml",
			Long: `init reads the cluster: its services, the rules and schedules that run tasks in it, and
adds an environment to magecloudkit.yaml of this directory, with comments. Nothing of
AWS is changed.

  mck init --cluster production-app
  mck init --cluster staging-app --name staging
  mck status staging

Exit codes: 0 written; 2 usage or settings; 1 AWS could not be read.`,
			Settings: &Init{},
		},
		{
			Name: "config", Short: "Show what push, deploy and the verbs beside them are set to, and where each value comes from",
			Long: `config shows the value of every setting that is a variable, and where it comes from:
a variable, --env-file, magecloudkit.yaml, or the default. A flag wins over all of
them. A secret's value is not shown.

Exit codes: 0 shown; 2 usage or settings.`,
			Settings: &Config{},
		},
		{
			Name: "doctor", Short: "Look for mistakes in the set-up: settings, credentials, what AWS has and allows",
			Long: `doctor looks at what build, push and deploy need, before they do: what is set and by
what, whose the credentials are and which verbs' calls they allow, whether registry,
repositories, cluster, services, cron, roles, secrets and log groups are there, and this
machine. It changes nothing. Every warning and every error comes with what to do.

  mck doctor production

Exit codes: 0 no error; 2 usage; 3 there is one; 1 it was interrupted.`,
			Settings: &Doctor{},
			Dagger: &Function{
				Doc: `What is set and by what, whose the credentials are and which verbs' calls they allow,
whether registry, repositories, cluster, services, cron, roles, secrets and log groups
are there, whether the store's repositories take composer's keys, and what the engine's
machine has. It changes nothing. Every warning and every error comes with what to do;
with an error it ends as one.`,
				Store:   true,
				Implied: Implied{Flag: "in-engine", If: "true"},
			},
			Make: true,
		},
		{
			Name: "version", Short: "Print the version of this program, and what it was made of",
			Settings: &Version{},
		},
		{
			Name: "simulate", Short: "Serve a simulated AWS on this machine, to rehearse against",
			Long: `simulate serves ECS, ECR with its registry, EventBridge, CloudWatch Logs, STS, IAM,
Secrets Manager and SSM, as far as a release uses them, until it is interrupted,
and to a browser a small shop of the build that runs, for --probe.
It prints the variables that a client needs:

  mck simulate --speed 60 >sim.env & sleep 1; . ./sim.env
  mck push --build-num 301 && aws ecs list-services --cluster production-app

Nothing of it is kept, and nothing leaves this machine. Faults, the clock and the
state are at /_sim/: see the documentation of the package ci/awssim.`,
			Settings: &Simulate{},
		},
	}
}
