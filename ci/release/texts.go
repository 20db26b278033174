package release

// What is said, apart from the rules that say it: a wording changes here and nowhere
// else. say… tells what is or what happened, do… what to do about it; the verbs of a
// format are filled in where it is used, and checked by go vet there.

// Of the steps.
const (
	sayInterruptedBefore = "interrupted before %s"
	sayAgain             = "%s again in %s: %v"
	sayExitCode          = "exit code %d"
)

// Of what there is: the cluster and the services.
const (
	sayInterrupted          = "interrupted during the preflight; nothing was changed"
	sayNothingChanged       = "%s; nothing was changed"
	sayMoreNothingChanged   = "%s; and %d more; nothing was changed"
	sayCallerUnknown        = "cannot tell who releases: %v"
	doAllowDescribeClusters = "allow ecs:DescribeClusters"
	sayClusterUnknown       = "cannot be read, so its state is not known: %v"
	doCheckCluster          = "check --cluster, the region and the account"
	sayClusterMissing       = "does not exist here"
	sayNotActive            = "is %s, not ACTIVE"
	doCheckService          = "check --service and --cluster"
	sayInCluster            = "%s in cluster %s"
	doControllersTools      = "release it with the controller's own tools"
	sayOtherController      = "is deployed by the %s controller, not by ECS"
	sayWaiting              = "waiting for the deployment in progress of %s"
	sayInterruptedInWait    = "interrupted while waiting for another deployment; nothing was changed"
	sayTaskDefinitionUnread = "task definition %s cannot be read: %v"
	doWaitForEnd            = "wait until it has ended"
	saySourceInProgress     = "service %s has a deployment in progress, so what it runs is about to change"
	saySourceUnknown        = "service %s runs %s, which does not say which build it is"
	doOneBuildThere         = "release one build there first"
	sayTwoBuilds            = "runs build %s and build %s at the same time"
	sayOtherBuild           = "runs build %s, not %s"
	sayDigestsUnread        = "the digests that service %s runs cannot be read: %v"
	sayTasksDiffer          = "tasks of service %s run different images as %s: %s"
	sayServicesDiffer       = "services run different images of %s: %s and %s"
	sayNoTaskSays           = "service %s runs no task that says which image %s is"
)

// Of the plan.
const (
	doGiveBuild          = "--build-num, or BUILD_NUM"
	sayNoBuild           = "no build is given"
	doNameRepositories   = "name the repositories with --repository"
	sayNoOwnImage        = "has no container with an image of %s, so releasing %s would change nothing in it"
	sayRunsNoOwnImage    = "runs no image of %s, so releasing would change nothing in it"
	doDowngrade          = "if it is meant, --downgrade; to take a release back, rollback"
	sayOlder             = "runs build %d%s, and build %d%s is older"
	doPlaintext          = "set it with --secret, or ask for a plain value with --plaintext"
	sayExposed           = "comes from a secret, and its value would stand in the task definition for everybody to read"
	doListVariables      = "see `env list`"
	sayNoVariable        = "is in no container that runs, so there is nothing to remove"
	sayLatestUnread      = "its latest revision cannot be read: %v"
	sayAdopted           = "service %s: deployment %s of this build is in progress already"
	sayTakenUp           = "service %s: an interrupted run of this release has moved it to %s; should the rest fail, it goes back to %s"
	doWaitForDeployment  = "wait for it, or use --wait-for-deployment"
	sayInProgress        = "has a deployment in progress: %s of %s, since %s"
	doLeaveOutCount      = "leave --desired-count out"
	sayDaemon            = "is a daemon service: ECS sets its number of tasks"
	sayNoTasks           = "wants 0 tasks, so that its roll proves nothing"
	sayRevisionsUnread   = "its revisions cannot be listed: %w"
	sayNothingBefore     = "no revision before it runs another build: there is nothing to return to"
	sayNoRevisionOfBuild = "family %s has no active revision of build %s among the last %d"
	sayNoContainer       = "no container %q to run commands in: name one of %s with --container"
)

// Of images.
const (
	sayNotRunThere        = "cluster %s does not run it, so there is no build of it to take over"
	sayDigestUnknown      = "its digest is not known, so it cannot be pinned"
	sayNotInECR           = "is not in Amazon ECR, so whether it exists is not checked"
	doAllowDescribeImages = "allow ecr:DescribeImages"
	sayNotLookedUp        = "cannot be looked up: %v"
	doPush                = "push the build first"
	doCheckRegistry       = "check the registry's account and region"
	sayNoRepository       = "its repository does not exist"
	doRestoreImage        = "restore it in ECR first"
	sayArchived           = "is archived, so that no task could pull it"
	doWaitForRestore      = "wait until ECR has restored it"
	sayBeingRestored      = "is being restored from the archive"
	sayPlatformUnknown    = "its platform is not known: %v"
	sayOtherPlatform      = "is for %s, and the service runs on %s"
)

// Of what the new revisions name.
const (
	sayUnchecked            = "cannot be checked: %v"
	sayRoleElsewhere        = "is of another account, so it is not checked"
	doCreateRole            = "create it, or name another one in the task definition"
	sayMissingForTasks      = "does not exist, so that no task could start"
	doRestore               = "restore it"
	sayScheduledForDeletion = "is scheduled for deletion, so that no task could read it"
	doCreateSecret          = "create it, or set another one with --secret"
	doGiveValue             = "give it one, or set another one with --secret"
	sayNoValue              = "has no value of that version, so that no task could start"
	sayKeysUnchecked        = "%s: whether it has the keys that are named is not checked (secretsmanager:GetSecretValue is not allowed)"
	doAddKey                = "add the key to the secret, or name another one"
	sayNoKey                = "has no JSON key %q, so that no task could start"
	doCreateLogGroup        = "create it, or set awslogs-create-group"
	sayMissingForContainers = "does not exist, so that no container that logs there could start"
)

// Of revisions.
const (
	sayInUseUnread              = "no old revision is deregistered: what is in use cannot be read: %v"
	sayNoneOldEnough            = "%w: no revision is old enough"
	sayFamilyNotDeregistered    = "no old revision of %s is deregistered: %v"
	sayNotDeregistered          = "%s is not deregistered: %v"
	sayDeregistered             = "%s is deregistered"
	sayInterruptedInRegistering = "interrupted while revisions were registered; nothing that runs was changed"
	sayNothingRunsChanged       = "%v; nothing that runs was changed"
	sayAllRegistered            = "%w: every revision is registered already"
	sayLookingWhether           = "%v; looking whether it was"
	sayRegistrationUnknown      = "task definition %s: %w (and its newest revision cannot be read: %w)"
	saySomebodyDeregistered     = "service %s: somebody deregistered %s; registering it again"
)

// Of what is recorded.
const (
	sayNotRecorded = "who did it, and why, is not written on %s: %v"
)

// Of the database and the cache.
const (
	sayUpgradeStillRuns    = "database: setup:upgrade still runs, as task %s; cron stays disabled until the same command, run again, has seen its end"
	sayCronWaitsForUpgrade = "setup:upgrade still runs, as task %s, so cron stays disabled; run the same command again once it has ended"
	sayUpgradeUnread       = "whether an upgrade of the database still runs cannot be found out: %v"
	sayTaskBegins          = "%s: a task of %s, container %s"
	sayMigrateNever        = "%w: --migrate never"
	sayUpToDate            = "%w: the database is up to date"
	sayUpgradeUnknown      = "whether another upgrade is running cannot be found out: %w"
	sayUpgradeOfAnother    = "task %s of %s is upgrading the database right now: wait for its end; the services are untouched"
	sayInterruptedInCheck  = "interrupted while %s ran; the services are untouched"
	sayUpgradeNeeded       = "%s: an upgrade is needed"
	sayServicesUntouched   = "%s: %s; the services are untouched"
	sayCheckFailed         = "%s: %s: %s; the database and the services are untouched"
	sayAllUntouched        = "%v; the database and the services are untouched"
	sayUpgradeRuns         = "%s is running already, as task %s: waiting for it"
	sayUpgradeInterrupted  = "%s: %s; the services are untouched; the same command waits for it"
	sayUpgradeFailed       = "%s: %s: %s; the services are untouched"
	sayNotAskedFor         = "%w: not asked for"
	sayCacheNotBegun       = "the services run the build, and the cache was not flushed: %v"
	sayCacheInterrupted    = "the services run the build; interrupted while the cache was flushed"
	sayCacheFailed         = "the services run the build, and the cache was not flushed: %s: %s"
)

// Of the roll.
const (
	sayAllRunIt           = "%w: every service runs the build already"
	sayBegun              = "service %s: deployment %s, %s -> %s"
	sayServicesUnread     = "the services cannot be read right before the roll, so none was touched: %v"
	sayDeleted            = "service %s was deleted since the preflight; no service was touched"
	sayOtherBegan         = "service %s: deployment %s of %s began since the preflight; no service was touched"
	sayServiceLooking     = "service %s: %v; looking whether it was"
	sayNotRegisteredAgain = "%w; and it cannot be registered again: %w"
	sayNoDeployment       = "service %s has no deployment of %s"
	sayProgress           = "%s: %d of %d running, %d pending, %d failed, %d old"
	sayToGo               = ", about %s to go"
)

// Of the way back.
const (
	sayNoneHadMoved            = "%s; no service had moved"
	sayInterruptedBeforeReturn = "%s; interrupted before the services were rolled back"
	sayRollingBack             = "rolling back: %s"
	sayInterruptedInReturn     = "%s; interrupted while the services were rolled back; ECS carries on by itself"
	sayReturnEnded             = "service %s: the roll back %s: %s"
	sayNothingKnown            = "%s; AWS gives no answer, so nothing is known of the services since (%s)"
	sayReturnSuperseded        = "%s; another deployment took the place of the roll back"
	sayReturned                = "%s; the services run what they ran before"
	sayBackTo                  = "service %s: back to %s, %s, deployment %s"
	sayLeftAsAsked             = "%s; not rolled back, as asked"
	sayReturnByECSEnded        = "%s; service %s: the roll back by ECS %s: %s"
	sayReturnedByECS           = "%s; ECS rolled the services back by itself"
	sayNotStoppedAgain         = "service %s: the deployment cannot be stopped (%v); deploying %s again"
	sayNoneInProgress          = "ECS lists no deployment of it in progress"
	sayAllRunBuild             = "%w: every service runs build %s already"
	sayRunsAlready             = "service %s runs %s already"
	sayReturning               = "service %s: %s -> %s, %s, deployment %s"
	sayNotStopped              = "service %s: the deployment in progress cannot be stopped (%v); deploying %s"
)

// Of the shop.
const (
	doAskShop            = "--probe asks the shop itself; a target group that asks /health_check.php fails with its database and its cache"
	sayNoHealthCheck     = "nothing checks whether it serves: its tasks count as healthy as soon as they run"
	sayShallowHealth     = "its health checks cannot fail for a broken shop: %s"
	sayNoProber          = "this program has no way to ask the shop"
	doLeaveOutProbeTest  = "leave --probe-test out"
	sayRollsWithoutTest  = "replaces its tasks one by one (ROLLING), so there is nothing to ask before traffic moves"
	sayNoTestListener    = "has no load balancer with a test listener rule"
	doPauseHook          = "a lifecycle hook of type PAUSE at POST_TEST_TRAFFIC_SHIFT, and --probe-continue"
	sayNothingHolds      = "moves production traffic without waiting for an answer of its test listener"
	sayProbeAgain        = "%s; asking again"
	sayProbeOK           = "%s answers: %s, %s"
	sayProbeWrong        = "service %s does not answer as it must, %s: %s%s"
	sayNowAndThen        = ", now and then"
	sayProbeInterrupted  = "the services run the build; interrupted while the shop was asked"
	sayReturnedAndFails  = "the services run the earlier build, and %v"
	sayRanAndFails       = "%v; it ran this build before, so nothing was rolled back (rollback returns to the build before)"
	sayTestedLate        = "service %s: its test listener answers, and was asked when production traffic was moving already (%g%%)"
	sayContinued         = "service %s: continued from its pause"
	sayStageUnread       = "where its deployment stands cannot be read: %v"
	sayNothingPaused     = "no deployment of these services stands at a pause"
	doLookAtStatus       = "`status` tells what the services do"
	sayPausedUnknown     = "which build %s is cannot be seen"
	sayTwoPaused         = "builds %s and %s stand at a pause"
	doContinueOne        = "continue the services of one build at a time"
	doPauseThere         = "give it a lifecycle hook of type PAUSE at %s, or wait until BAKE_TIME"
	sayNothingPauses     = "has no lifecycle hook that pauses its deployment at %s"
	sayAllRoll           = "none of the services is deployed by BLUE_GREEN, LINEAR or CANARY, so none has lifecycle stages"
	doLeaveOutWaitUntil  = "leave it out"
	sayNotContinued      = "service %s is paused, and cannot be continued: %v"
	sayShopAnswers       = "shop %s: answers: %s; asked %s"
	sayShopFails         = "shop: DOES NOT ANSWER as it must: %s%s; asked %s"
	sayShopNotAsked      = "shop: not asked whether it answers, since no --probe is given; that its tasks count as healthy is all that is known"
	sayServiceNotAsked   = "service %s: not asked whether it answers, since no --probe is given for it"
	sayEndedBeforeAsking = "service %s: not asked whether it answers, since the release ended before"
	sayTestNotAsked      = "service %s: its test listener was not asked: it was not seen at a stage at which that leads to the new tasks"
)

// Of cron.
const (
	doCheckCronRule             = "check --cron-rule; a rule on another bus is written BUS/NAME"
	sayMissing                  = "does not exist"
	sayUnread                   = "cannot be read: %v"
	sayCronWithoutRevision      = "names %s without a revision, so cron starts the new one as soon as it is registered; after this release it names a revision"
	doLeaveOutOfCron            = "leave it out of --cron-rule"
	sayNoTaskTarget             = "has no target that runs an ECS task"
	sayCronLeftDisabled         = "was disabled by the release of build %s, which did not enable it again; this run will"
	sayCronStaysDisabled        = "is disabled, and stays so"
	sayCronUnmarked             = "%s cannot be marked as paused: %w"
	sayCronNotDisabled          = "%s cannot be disabled: %w"
	sayCronDisabled             = "%s is disabled while the database is upgraded"
	sayCronJobsUnread           = "whether cron jobs are still running cannot be read: %v"
	sayCronJobsWaited           = "waiting for %s of cron that still run"
	sayCronJobsLeft             = "%s of cron still run after %s; the upgrade begins all the same"
	sayInterruptedBeforeUpgrade = "interrupted before setup:upgrade; the database and the services are untouched"
	sayCronNotEnabled           = "%s is disabled and cannot be enabled: %w; run the same command again, or enable it by hand"
	sayCronEnabled              = "%s is enabled again"
	sayCronTagLeft              = "%s keeps the tag %s: %v"
	sayNoCron                   = "%w: no cron rule and no schedule was given"
	sayCronNotMoved             = "%s still runs %s: %v"
	sayCronTargetNotMoved       = "target %s: %s %s"
	sayOtherCluster             = "runs its tasks in cluster %s"
	doCheckSchedule             = "check --schedule; a schedule of another group than default is written GROUP/NAME"
	sayNoRoomForMark            = "its description leaves no room for the mark that it is to be enabled again; shorten it"
	sayMoved                    = "%s: %s -> %s"
	sayCronUpToDate             = "%w: cron runs the build already"
)

// Of the end, and of what is looked at.
const (
	sayWouldChange   = "%s would change %s; nothing was changed"
	sayCronNow       = "%s: %s, runs %s"
	sayWasToReturn   = "was to go back to %s (%s): %s"
	sayRunsNow       = "runs %s (before: %s)"
	sayDeploymentNow = "deployment %s to %s: %s"
	sayDeploymentRow = "%s %s: %d of %d running, %d failed %s"
	sayTasksUnread   = "its tasks cannot be read: %v"
	sayTaskDiffers   = "service %s: task %s still runs %s"
	sayCronDiffers   = "%s runs %s, and the service of that family %s"
	sayCronLeft      = "%s was disabled by a release that did not enable it again"
	saySubjectUnread = "%s cannot be read: %v"
	sayNotMarked     = "%s: the release is not marked: %v"
)

// Of an installation.
const (
	sayInstalled          = ": the store is installed, and no service was touched; deploy comes next"
	sayInstallRuns        = "an installation is running, as task %s: waiting for its end"
	sayInstallEnded       = "the installation that an earlier run began has ended meanwhile, as task %s"
	sayInstallOfAnother   = "task %s of %s is installing right now: wait for its end; nothing was changed"
	sayInstallNotThere    = "the image has no magento-install: an earlier pipeline made it. Build it anew; nothing was changed"
	sayInstallInterrupted = "%s; the installation may still run: the same command waits for its end"
	sayInstallNotBegun    = "the installation has not begun: %s: %s; nothing was changed"
	sayInstallHasTables   = "the database has tables already, see the log above; nothing was changed. A shop that is there is brought to a build by deploy"
	sayInstallRefused     = "magento-install ended with exit code %d, see the log above; nothing was changed"
	sayInstallFailed      = "magento-install: %s: %s; the database is not a shop's: drop it, create it anew, and install again"
)

// Of waiting and scaling.
const (
	sayTasksNow  = "runs %s, %d of %d tasks"
	saySteady    = "no deployment is in progress, and as many tasks run as are wanted"
	sayScaled    = "service %s: %d -> %d tasks"
	sayNoPrimary = "ECS tells no deployment of the service"
	doWaitFirst  = "let it end: mck wait"
)

// Of logs.
const (
	sayNoLog     = "task %s: container %s has no log that can be read here: its log driver is not awslogs, or has no awslogs-stream-prefix"
	sayLogUnread = "task %s: the log of container %s cannot be read: %v"
)

// Of a shell in a container.
const (
	sayNoTaskRuns     = "service %s has no task%s that runs"
	sayExecOff        = "ECS Exec is not enabled for task %s of service %s: aws ecs update-service --cluster %s --service %s --enable-execute-command --force-new-deployment, and a task role that may use ssmmessages"
	sayContainerNotUp = "task %s: container %s does not run yet, or has no runtime id"
)
