package verify

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"
)

// How checks end.
const (
	Passed      = "passed"
	Failed      = "failed"
	Skipped     = "skipped"
	Interrupted = "interrupted" // the run was ended before the check was
)

// Result is how one check ended.
type Result struct {
	Name     string   `json:"name"`
	Short    string   `json:"short"`
	Result   string   `json:"result"`
	Seconds  float64  `json:"seconds"`
	Evidence []string `json:"evidence"`         // what was seen, in sentences
	Error    string   `json:"error,omitempty"`  // why it failed or was skipped
	Remedy   string   `json:"remedy,omitempty"` // where to look
}

// Report is how a run ended. Its form is documented, and only grows.
type Report struct {
	Version int      `json:"version"`
	Run     string   `json:"run"`
	Seconds float64  `json:"seconds"`
	Passed  int      `json:"passed"`
	Failed  int      `json:"failed"`
	Skipped int      `json:"skipped"`
	Results []Result `json:"results"` // in the order of the checks
}

// report is how far the checks have come.
func (r *runner) report(checks []Check, took time.Duration) Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := Report{Version: 1, Run: r.run, Seconds: took.Round(time.Millisecond).Seconds(), Results: []Result{}}
	for _, c := range checks {
		x, ok := r.results[c.Name]
		if !ok {
			x = Result{Name: c.Name, Short: c.Short, Result: Interrupted, Error: "it had not begun"}
		}
		if x.Evidence == nil {
			x.Evidence = []string{}
		}
		switch x.Result {
		case Passed:
			out.Passed++
		case Failed:
			out.Failed++
		case Skipped:
			out.Skipped++
		}
		out.Results = append(out.Results, x)
	}
	return out
}

// JSON writes the report as one object.
func (r Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// The part of JUnit's format that its readers agree on.
type (
	junitSuites struct {
		XMLName xml.Name   `xml:"testsuites"`
		Suite   junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Errors   int         `xml:"errors,attr"`
		Skipped  int         `xml:"skipped,attr"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
	}
	junitCase struct {
		Class   string        `xml:"classname,attr"`
		Name    string        `xml:"name,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure,omitempty"`
		Error   *junitMessage `xml:"error,omitempty"`
		Skipped *junitMessage `xml:"skipped,omitempty"`
		Out     string        `xml:"system-out,omitempty"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
)

// JUnit writes the report as JUnit's XML. A check that was interrupted is an error there, neither failed nor passed.
func (r Report) JUnit(w io.Writer) error {
	suite := junitSuite{Name: "kubewright verify", Tests: len(r.Results), Failures: r.Failed, Skipped: r.Skipped, Time: seconds(r.Seconds)}
	for _, x := range r.Results {
		c := junitCase{Class: "kubewright.verify", Name: x.Name, Time: seconds(x.Seconds), Out: strings.Join(x.Evidence, "\n")}
		m := &junitMessage{Message: x.Error, Text: x.Remedy}
		switch x.Result {
		case Failed:
			c.Failure = m
		case Skipped:
			c.Skipped = m
		case Interrupted:
			c.Error = m
			suite.Errors++
		}
		suite.Cases = append(suite.Cases, c)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(junitSuites{Suite: suite}); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func seconds(s float64) string { return fmt.Sprintf("%.3f", s) }
