package verbs

import "time"

// Wait is the settings of wait.
type Wait struct {
	Target
	Timeout time.Duration `env:"MCK_TIMEOUT,default=10m" flag:"timeout" doc:"for the wait for all services together"`
	Output
}

// Scale is the settings of scale.
type Scale struct {
	Target
	DesiredCount int           `env:"MCK_DESIRED_COUNT,required" flag:"desired-count" doc:"tasks of every service"`
	Timeout      time.Duration `env:"MCK_TIMEOUT,default=10m" flag:"timeout" doc:"for the wait for all services together"`
	DryRun       bool          `env:"MCK_DRY_RUN" flag:"dry-run" doc:"say what would be done, and do nothing"`
	Output
}

// Logs is the settings of logs.
type Logs struct {
	Target
	Since     time.Duration `env:"MCK_LOGS_SINCE,default=10m" flag:"since" doc:"how far back the lines reach"`
	Follow    bool          `flag:"follow,f" dagger:"-" doc:"go on until interrupted, with new tasks as they start"`
	Build     string        `flag:"build" doc:"of the tasks of this build alone"`
	Container string        `flag:"container" doc:"of this container alone"`
	JSON
}

// Exec is the settings of exec.
type Exec struct {
	Target
	Container string `flag:"container" doc:"container to run it in; the first of the store's own that is not nginx, if not set"`
	Task      string `flag:"task" doc:"id of the task; the youngest that runs, if not set"`
}
