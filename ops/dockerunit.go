package ops

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"path"
	"slices"
)

// dockerUnit is the one service whose restart takes down what is not ours: the containers that others run in it.
const dockerUnit = "docker.service"

// restart restarts a unit.
func restart(ctx context.Context, m Machine, name string) error {
	if name == dockerUnit {
		return restartDocker(ctx, m)
	}
	return m.Units().Restart(ctx, name)
}

// restartDocker restarts Docker and starts again what others had running in it, whatever its restart policy. The list is written down first, so that
// a crash in between is made good by the next run.
func restartDocker(ctx context.Context, m Machine) error {
	e := engineOf(m)
	running, err := interrupted(m)
	if err != nil {
		return err
	}
	containers, err := e.containers(ctx)
	if err != nil && !engineAway(err) {
		return err
	}
	for _, c := range containers {
		if c.State == "running" && !c.pod() && !slices.Contains(running, c.ID) {
			running = append(running, c.ID)
		}
	}
	if len(running) > 0 {
		data, err := json.Marshal(running)
		if err != nil {
			return err
		}
		if err := writeMark(m, interruptedFile(m), data); err != nil {
			return err
		}
	}
	if err := m.Units().Restart(ctx, dockerUnit); err != nil {
		return err
	}
	var failed []error
	for _, id := range running {
		if err := changing(m, "start container "+id); err != nil {
			return err
		}
		if err := e.start(ctx, id); err != nil {
			failed = append(failed, err)
		}
	}
	if len(running) > 0 {
		if err := remove(m, interruptedFile(m)); err != nil {
			return err
		}
	}
	if len(failed) > 0 { // told once; the next run goes on
		return fmt.Errorf("docker was restarted, but not every container that ran: %w", errors.Join(failed...))
	}
	return nil
}

// startDocker starts Docker, where it is installed and does not run. Its unit counts as started once it answers.
func startDocker(ctx context.Context, m Machine) (there bool, err error) {
	s, err := m.Units().State(ctx, dockerUnit)
	if err != nil || !s.Exists {
		return false, err
	}
	if err := changing(m, "start "+dockerUnit); err != nil {
		return true, err
	}
	return true, m.Units().Restart(ctx, dockerUnit)
}

// start starts a container, unless it runs, or is gone.
func (e engine) start(ctx context.Context, id string) error {
	body, err := e.do(ctx, http.MethodPost, path.Join("/containers", id, "start"), url.Values{})
	if errors.Is(err, errNoSuch) {
		return nil
	}
	if err != nil {
		return err
	}
	return body.Close()
}

// interrupted are the containers that a restart has stopped and that were not started again yet.
func interrupted(m Machine) (ids []string, err error) {
	data, err := readSmall(m, interruptedFile(m), false)
	if err != nil || data == nil {
		return nil, err
	}
	if err := strict(data, &ids); err != nil {
		return nil, fmt.Errorf("%s: %w", interruptedFile(m), err)
	}
	return ids, nil
}

func interruptedFile(m Machine) string { return stateDir(m) + "/docker-containers.json" }
