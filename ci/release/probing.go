package release

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/magecloudkit/pipeline/ci/ecs"
	"github.com/magecloudkit/pipeline/ci/probe"
)

// When a shop is asked.
const (
	askedTest   = "at the test listener"
	askedBake   = "with all traffic, during the bake time"
	askedAfter  = "after the roll"
	askedReturn = "after the way back"
)

// An address counts as answering once it has answered so many times in a row: of
// several tasks, one may be broken. One that falls back too often never does.
const (
	probeRow   = 5
	probeFalls = 3
	probePause = time.Second     // after a good answer
	probeAgain = 5 * time.Second // after a bad one
)

// probe asks the shop once the services have rolled. A shop that does not answer is a
// failed release, and is returned like any other.
func (a *act) probe(ctx context.Context) error {
	if len(a.req.Probes.After) == 0 {
		return fmt.Errorf(sayNotAskedFor, errSkipped)
	}
	wrong := a.askShop(ctx, askedAfter)
	switch {
	case wrong == nil:
		return nil
	case ctx.Err() != nil:
		return halt(Interrupted, sayProbeInterrupted)
	case a.res.Verb == "rollback":
		return halt(NotRolledBack, sayReturnedAndFails, wrong)
	case a.unchanged():
		return halt(NotRolledBack, sayRanAndFails, wrong)
	}
	end := a.goBack(ctx, RolledBack, wrong.Error())
	var st *stop
	if errors.As(end, &st) && st.verdict == RolledBack && a.flushed {
		// The new build has filled the cache that the old one reads.
		if err := a.flushCache(ctx); err != nil && !errors.Is(err, errSkipped) {
			a.note(LevelWarning, "%v", err)
		}
	}
	return end
}

// askShop asks every address of the shop, until one does not answer as it must.
func (a *act) askShop(ctx context.Context, when string) error {
	for _, p := range a.services {
		for {
			done, err := a.askService(ctx, p, when)
			if err == nil && !done {
				err = a.clock.Sleep(ctx, probeAgain)
			}
			if err != nil {
				return err
			}
			if done {
				break
			}
		}
	}
	return nil
}

// askService asks the addresses of a service once more, and reports whether all of
// them have answered. The error is of one that has not in time.
func (a *act) askService(ctx context.Context, p *service, when string) (done bool, err error) {
	list := a.req.Probes.After
	if when == askedTest {
		list = a.req.Probes.Test
	}
	for _, pr := range a.probesOf(p, list) {
		k := a.asking(p, pr, when)
		if k.over {
			continue
		}
		a.ask(ctx, k)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case !k.over:
			return false, nil
		}
		a.res.Probes = append(a.res.Probes, k.ProbeResult)
		if !k.OK {
			return false, fmt.Errorf(sayProbeWrong, p.name, when, k.Detail, parenthesis(k.Cause))
		}
		a.note(LevelInfo, sayProbeOK, k.URL, k.Detail, when)
	}
	return true, nil
}

// asking is an address that is being asked at one moment of the release.
type asking struct {
	ProbeResult
	question probe.Question
	deadline time.Time
	falls    int // good answers that were followed by a bad one
	over     bool
}

// asking is the one of a probe, which begins with it.
func (a *act) asking(p *service, pr Probe, when string) *asking {
	id := when + " " + p.name + " " + pr.URL
	if k := a.askings[id]; k != nil {
		return k
	}
	now := a.clock.Now()
	k := &asking{
		ProbeResult: ProbeResult{Service: p.name, URL: pr.URL, When: when, Started: now}, deadline: now.Add(a.req.Probes.Timeout),
		question: probe.Question{
			URL: pr.URL, Text: a.req.Probes.Text, Build: a.buildAsked(p, when == askedReturn),
			Styles: when != askedBake, // before the cache is flushed, an old page may name old files
			Pinned: when == askedTest,
		},
	}
	if a.askings == nil {
		a.askings = map[string]*asking{}
	}
	a.askings[id] = k
	return k
}

// ask asks an address until it has given a row of good answers, or one that is bad.
func (a *act) ask(ctx context.Context, k *asking) {
	q := k.question
	for row := range probeRow {
		if row > 0 && a.clock.Sleep(ctx, probePause) != nil {
			return
		}
		q.Styles = k.question.Styles && row == probeRow-1
		k.Answer = a.shop.Ask(ctx, q)
		k.Asked++
		k.Ended = a.clock.Now()
		if k.OK {
			continue
		}
		if row > 0 {
			k.falls++
		}
		k.over = k.falls == probeFalls || !k.Ended.Before(k.deadline)
		if k.falls == probeFalls {
			k.Detail += sayNowAndThen
		}
		if !k.over && (k.Asked == row+1 || row > 0) {
			a.note(LevelWarning, sayProbeAgain, k.Detail)
		}
		return
	}
	k.over = true
}

// atStage asks the shop while a deployment moves traffic: at the test listener as soon
// as that leads to the new revision, and as visitors do once that has all traffic.
// What is wrong then is wrong while the way back is the shortest.
func (a *act) atStage(ctx context.Context, name string, at ecs.Stage) error {
	p := a.service(name)
	if hasTestTraffic(at) {
		done, err := a.askService(ctx, p, askedTest)
		if err != nil {
			return err
		}
		if done && at.Traffic > 0 && !p.late && a.asked(p, askedTest) {
			p.late = true
			a.note(LevelWarning, sayTestedLate, p.name, at.Traffic)
		}
		if done {
			a.goOn(ctx, p, at)
		}
		if !done && a.stands(p, at) {
			return nil // asked once more before it is left
		}
	}
	if at.Name == bakeTime && at.Traffic >= 100 {
		if done, err := a.askService(ctx, p, askedBake); err != nil || !done {
			return err
		}
	}
	if a.stands(p, at) {
		return ecs.ErrPaused
	}
	return nil
}

// goOn continues a deployment that is paused before production traffic moves, if that
// is asked for and the test listener has answered.
func (a *act) goOn(ctx context.Context, p *service, at ecs.Stage) {
	if !a.req.Probes.Continue || at.Hook == "" || at.Traffic > 0 || !a.asked(p, askedTest) {
		return
	}
	if err := a.endPause(ctx, p, at); err != nil {
		a.note(LevelWarning, sayNotContinued, p.name, err) // somebody else may
	}
}
