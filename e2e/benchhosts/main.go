// Command benchhosts measures, side by side on the same hosts, how long kubewright and Ansible take to prepare many bare hosts for
// Kubernetes up to a running container runtime, and how long to find that nothing is to be done. Both leave the same end state: after
// the playbook, kubewright finds only its own records missing. Machines are noisy: it compares in pairs and prints ratios.
package main

import (
	"context"
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
	hosts := flag.Int("hosts", 20, "hosts to prepare")
	rounds := flag.Int("rounds", 2, "pairs to measure")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := bench(ctx, *program, *hosts, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "benchhosts:", err)
		os.Exit(1)
	}
}

// The phases that are measured, in both.
var measured = []string{"host", "binaries", "containerd"}

// lap is what one contender took: from bare hosts, and again with nothing to do.
type lap struct{ bare, again time.Duration }

func bench(ctx context.Context, program string, hosts, rounds int) error {
	path, err := filepath.Abs(program)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "kubewright-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b := &lab{program: path, dir: filepath.Join(dir, "lab"), ansible: filepath.Join(dir, "ansible"), inventory: filepath.Join(dir, "hosts.yaml"), hosts: names(hosts)}
	defer b.down(context.WithoutCancel(ctx))
	if err := os.WriteFile(b.inventory, b.render(), 0o600); err != nil {
		return err
	}
	if err := b.fresh(ctx); err != nil {
		return err
	}
	// Once unmeasured: what the playbook copies is what kubewright made.
	if _, err := b.kubewright(ctx); err != nil {
		return err
	}
	if err := b.harvest(ctx); err != nil {
		return err
	}
	contenders := []struct {
		name string
		run  func(context.Context) (time.Duration, error)
	}{{"kubewright", b.kubewright}, {"ansible", b.playbook}}
	var bare, again []float64
	for round := range rounds {
		laps := map[string]lap{}
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)] // who goes first changes, so that neither always has the warmer caches
			l, err := b.lap(ctx, c.run)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			laps[c.name] = l
			fmt.Printf("round %d  %-10s  from bare %6.1f s   nothing to do %6.2f s\n", round+1, c.name, l.bare.Seconds(), l.again.Seconds())
			if c.name == "ansible" {
				left, err := b.left(ctx)
				if err != nil {
					return err
				}
				fmt.Printf("round %d  after the playbook kubewright changes on a node: %s\n", round+1, strings.Join(left, ", "))
			}
		}
		bare = append(bare, laps["ansible"].bare.Seconds()/laps["kubewright"].bare.Seconds())
		again = append(again, laps["ansible"].again.Seconds()/laps["kubewright"].again.Seconds())
	}
	slices.Sort(bare)
	slices.Sort(again)
	fmt.Printf("%d hosts: kubewright is %.1f times as fast from bare (%.1f to %.1f in %d pairs), %.1f times with nothing to do (%.1f to %.1f)\n",
		hosts, bare[len(bare)/2], bare[0], bare[len(bare)-1], rounds, again[len(again)/2], again[0], again[len(again)-1])
	return nil
}

// lap makes the hosts anew and measures a contender on them twice.
func (b *lab) lap(ctx context.Context, run func(context.Context) (time.Duration, error)) (l lap, err error) {
	if err := b.fresh(ctx); err != nil {
		return l, err
	}
	if l.bare, err = run(ctx); err != nil {
		return l, err
	}
	l.again, err = run(ctx)
	return l, err
}

func timed(cmd *exec.Cmd) (time.Duration, error) {
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out[max(0, len(out)-2000):])
	}
	return time.Since(began), nil
}
