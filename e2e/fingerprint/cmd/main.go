// Command cmd prints the fingerprint of the host that it runs on, as root, or the difference of two that it printed.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/kubewright/kubewright/e2e/fingerprint"
)

func main() {
	root := flag.String("root", "/", "the directory to tell the files of; another than / has nothing but files")
	skip := flag.String("skip", "", "paths to leave out, with commas between them")
	only := flag.String("only", "", "kinds of facts to tell, with commas between them")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: fingerprint [-root DIR] [-skip PATHS] [-only KINDS] | fingerprint BEFORE AFTER")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 2 {
		os.Exit(diff(flag.Arg(0), flag.Arg(1)))
	}
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	lines, err := fingerprint.Take(context.Background(), fingerprint.Options{Root: *root, Skip: words(*skip), Only: words(*only)})
	if writing := fingerprint.Write(os.Stdout, lines); err == nil {
		err = writing
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func words(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == ',' }) }

// diff ends as diff(1) does: 0 when both are the same, 1 when they differ, 2 when they cannot be read.
func diff(before, after string) int {
	a, err := os.ReadFile(before)
	b, err2 := os.ReadFile(after)
	if err != nil || err2 != nil {
		fmt.Fprintln(os.Stderr, err, err2)
		return 2
	}
	lines := fingerprint.Diff(fingerprint.Read(string(a)), fingerprint.Read(string(b)))
	for _, l := range lines {
		fmt.Println(l)
	}
	if len(lines) > 0 {
		return 1
	}
	return 0
}
