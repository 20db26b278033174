package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsecs "github.com/aws/aws-sdk-go-v2/service/ecs"
	"github.com/spf13/cobra"

	"github.com/magecloudkit/pipeline/ci/release"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// plugin is AWS's program that speaks with a session, and the variable that newer ones read the session from: it holds a
// token, which is nothing for an argument.
const (
	plugin        = "session-manager-plugin"
	pluginSession = "AWS_SSM_START_SESSION_RESPONSE"
)

func newExecCommand(e *env) *cobra.Command {
	return verb(e, "exec", cobra.ArbitraryArgs, func(cmd *cobra.Command, e *env, s *verbs.Exec, args []string) error {
		ctx := cmd.Context()
		program, err := e.lookPath(plugin)
		if err != nil {
			return &exitError{exitUsage, fmt.Errorf("there is no %s on the PATH, which ECS Exec needs: https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html. 'mck run -- COMMAND' does without it", plugin)}
		}
		r := targetRequest(s.Target)
		r.TaskContainer = s.Container
		if r, err = checked(r); err != nil {
			return err
		}
		releaser, err := newReleaser(ctx, e, s.AWS, connection{notify: notes(e)})
		if err != nil {
			return err
		}
		target, res := releaser.ExecTarget(ctx, r, s.Task)
		if res.ExitCode != 0 {
			return &exitError{res.ExitCode, errors.New(res.Reason)}
		}
		cfg, err := loadAWS(ctx, s.AWS)
		if err != nil {
			return err
		}
		command := "/bin/sh"
		if len(args) > 0 {
			command = strings.Join(args, " ")
		}
		out, err := awsecs.NewFromConfig(cfg).ExecuteCommand(ctx, &awsecs.ExecuteCommandInput{
			Cluster: &target.Cluster, Task: &target.Task, Container: &target.Container, Command: aws.String(command), Interactive: true,
		})
		if err != nil {
			return fmt.Errorf("ECS Exec in task %s, container %s: %w", target.Task, target.Container, err)
		}
		fmt.Fprintf(e.stderr, "mck: container %s of %s\n", target.Container, target.Task)
		return e.session(ctx, program, cfg.Region, out, target)
	})
}

// session hands a session to AWS's program, with this terminal.
func (e *env) session(ctx context.Context, program, region string, out *awsecs.ExecuteCommandOutput, target release.ExecTarget) error {
	session, err := json.Marshal(out.Session)
	if err != nil {
		return err
	}
	about, err := json.Marshal(map[string]string{"Target": target.Session()})
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, pluginSession, region, "StartSession", "", string(about), "https://ssm."+region+".amazonaws.com")
	cmd.Env = append(os.Environ(), pluginSession+"="+string(session))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.stdin, e.stdout, e.stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // the session's own business
	var exit *exec.ExitError
	if err := cmd.Run(); errors.As(err, &exit) {
		return &exitError{code: exit.ExitCode()}
	} else if err != nil {
		return err
	}
	return nil
}

// lookPath finds a program on the PATH that this program was given.
func (e *env) lookPath(name string) (string, error) {
	dirs, _ := e.lookup("PATH")
	for dir := range strings.SplitSeq(dirs, string(os.PathListSeparator)) {
		file := dir + string(os.PathSeparator) + name
		if st, err := os.Stat(file); dir != "" && err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	return "", exec.ErrNotFound
}
