// Command benchup measures, side by side on the same hosts, with the same binaries and images from the same registry, how long
// kubewright and a scripted kubeadm take from bare hosts to all nodes Ready. Machines are noisy: it compares in pairs, each pair within one
// lab after the other, and prints ratios.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	program := flag.String("kubewright", "bin/kubewright", "the program to measure")
	rounds := flag.Int("rounds", 3, "pairs to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, *program, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "benchup:", err)
		os.Exit(1)
	}
}

// lap is what one contender took.
type lap struct{ ready, all time.Duration }

func bench(ctx context.Context, program string, rounds int) error {
	path, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kubewright-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &lab{program: path, dir: filepath.Join(dir, "lab")}
	defer b.down(context.WithoutCancel(ctx))
	contenders := []struct {
		name string
		run  func(context.Context) (lap, error)
	}{{"kubewright", b.kubewright}, {"kubeadm", b.kubeadm}}
	var ratios []float64
	for round := range rounds {
		laps := map[string]lap{}
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)] // who goes first changes, so that neither always has the warmer caches
			if err := b.fresh(ctx); err != nil {
				return err
			}
			l, err := c.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			laps[c.name] = l
			fmt.Printf("round %d  %-10s  all nodes Ready %5.1f s   network rolled out %5.1f s\n", round+1, c.name, l.ready.Seconds(), l.all.Seconds())
		}
		r := laps["kubewright"].ready.Seconds() / laps["kubeadm"].ready.Seconds()
		ratios = append(ratios, r)
		fmt.Printf("round %d  ratio %.2f\n", round+1, r)
	}
	slices.Sort(ratios)
	fmt.Printf("kubewright takes %.2f of kubeadm's time to all nodes Ready (median of %d pairs, %.2f to %.2f)\n", ratios[len(ratios)/2], rounds, ratios[0], ratios[len(ratios)-1])
	return b.second(ctx)
}

// lab is the hosts that are measured on, made anew for each lap.
type lab struct {
	program, dir string
	timing       string
}

func (b *lab) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, b.program, args...)
}

func (b *lab) down(ctx context.Context) { _ = b.command(ctx, "lab", "--dir", b.dir, "down").Run() }

// fresh makes bare hosts and a filled registry.
func (b *lab) fresh(ctx context.Context) error {
	b.down(ctx)
	if err := quiet(b.command(ctx, "lab", "--dir", b.dir, "up")); err != nil {
		return err
	}
	return quiet(b.up(ctx, "--phase", "registry"))
}

func (b *lab) in(ctx context.Context, argv ...string) *exec.Cmd {
	return b.command(ctx, append([]string{"lab", "--dir", b.dir, "exec", "--"}, argv...)...)
}

func (b *lab) up(ctx context.Context, args ...string) *exec.Cmd {
	return b.in(ctx, append([]string{"kubewright", "up", "-f", filepath.Join(b.dir, "cluster.yaml")}, args...)...)
}

// kubewright measures up, and reads from its events when the last node was Ready.
func (b *lab) kubewright(ctx context.Context) (lap, error) {
	events := filepath.Join(b.dir, "events")
	began := time.Now()
	cmd := b.up(ctx, "--events", events, "--timing")
	var out bytes.Buffer
	cmd.Stdout = &out
	if err := quiet(cmd); err != nil {
		return lap{}, err
	}
	b.timing = fmt.Sprintf("%s\n%d MiB of memory\n", out.String(), memory(cmd))
	raw, err := os.ReadFile(events)
	if err != nil {
		return lap{}, err
	}
	var l lap
	for line := range bytes.Lines(raw) {
		var e struct {
			Time       time.Time
			Key, State string
		}
		if json.Unmarshal(line, &e) != nil || (e.State != "changed" && e.State != "same") {
			continue
		}
		switch {
		case strings.HasPrefix(e.Key, "ready:Node/"):
			l.ready = e.Time.Sub(began)
		case strings.HasPrefix(e.Key, "ready:DaemonSet/"):
			l.all = e.Time.Sub(began)
		}
	}
	if l.ready == 0 || l.all == 0 {
		return lap{}, fmt.Errorf("the events do not tell when the nodes were Ready")
	}
	return l, nil
}

// second measures a run with nothing to do on a cluster that is there.
func (b *lab) second(ctx context.Context) error {
	if err := b.fresh(ctx); err != nil {
		return err
	}
	if _, err := b.kubewright(ctx); err != nil {
		return err
	}
	fmt.Printf("\n%s\n", b.timing)
	for range 3 {
		began := time.Now()
		cmd := b.up(ctx)
		out, err := cmd.Output()
		if err != nil {
			return err
		}
		fmt.Printf("a second up: %.2f s, %s (%d MiB of memory)", time.Since(began).Seconds(), strings.TrimSpace(string(out)), memory(cmd))
		fmt.Println()
	}
	return nil
}

// quiet runs a command and shows what it wrote only if it fails.
func quiet(cmd *exec.Cmd) error {
	var out bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &out
	}
	cmd.Stderr = &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return nil
}
