// Compares our relabel rules with Prometheus' own code: reads cases with our results from standard
// input (tests/reference/relabel_cases.cc writes them) and says where Prometheus has another result.
//
//	relabel_cases 600000 7 | go run .
//
// Not compared, and counted: cases in which Prometheus makes a name that the text format does not
// allow (it would go on with it; we leave the labels as they are), and templates with a letter that is
// not ASCII right after a group (refused by us: what is a letter depends on Unicode's version).
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

type rule struct {
	Action, Separator, Regex, Target, Replacement string
	Sources                                       []string
	Modulus                                       uint64
}

type testCase struct {
	Rules     []rule
	Labels    [][2]string
	Ambiguous bool // refused by us alone
	Refused   bool
	Keep      bool
	Result    [][2]string
}

func configOf(r rule) (*relabel.Config, error) {
	config := relabel.DefaultRelabelConfig
	config.Action = relabel.Action(r.Action)
	config.Separator = r.Separator
	config.Modulus = r.Modulus
	config.TargetLabel = r.Target
	config.Replacement = r.Replacement
	config.NameValidationScheme = model.LegacyValidation
	for _, name := range r.Sources {
		if !model.LegacyValidation.IsValidLabelName(name) {
			return nil, fmt.Errorf("source label %q", name)
		}
		config.SourceLabels = append(config.SourceLabels, model.LabelName(name))
	}
	if r.Regex != "(.*)" {
		regex, err := relabel.NewRegexp(r.Regex)
		if err != nil {
			return nil, err
		}
		config.Regex = regex
	}
	return &config, config.Validate(model.LegacyValidation)
}

// Prometheus' result; comparable is false where it makes a name that is none.
func run(c testCase) (refused, keep bool, result labels.Labels, comparable bool) {
	var configs []*relabel.Config
	for _, r := range c.Rules {
		config, err := configOf(r)
		if err != nil {
			return true, false, labels.EmptyLabels(), true
		}
		configs = append(configs, config)
	}
	from := labels.NewScratchBuilder(len(c.Labels))
	for _, l := range c.Labels {
		from.Add(l[0], l[1])
	}
	from.Sort()
	builder := labels.NewBuilder(from.Labels())
	comparable = true
	for _, config := range configs {
		if !relabel.ProcessBuilder(builder, config) {
			return false, false, labels.EmptyLabels(), comparable
		}
		builder.Range(func(l labels.Label) {
			comparable = comparable && model.LegacyValidation.IsValidLabelName(l.Name)
		})
	}
	return false, true, builder.Labels(), comparable
}

func same(result labels.Labels, ours [][2]string) bool {
	if result.Len() != len(ours) {
		return false
	}
	equal := true
	for _, l := range ours {
		equal = equal && result.Get(l[0]) == l[1]
	}
	return equal
}

func main() {
	in := bufio.NewScanner(os.Stdin)
	in.Buffer(nil, 1<<24)
	var cases, refusals, dropped, changed, odd, ambiguous, different int
	for in.Scan() {
		var c testCase
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			fmt.Println("not a case:", err)
			os.Exit(2)
		}
		cases++
		if c.Ambiguous {
			ambiguous++
			continue
		}
		refused, keep, result, comparable := run(c)
		if !comparable {
			odd++
			continue
		}
		switch {
		case refused:
			refusals++
		case !keep:
			dropped++
		case !same(result, c.Labels):
			changed++
		}
		if refused != c.Refused || keep != c.Keep || (keep && !same(result, c.Result)) {
			different++
			if different <= 20 {
				fmt.Printf("case %d: Prometheus: refused %v, keep %v, %v; case and our result:\n%s\n",
					cases, refused, keep, result, in.Bytes())
			}
		}
	}
	fmt.Printf("%d cases: %d refused by both, %d dropped, %d changed; not compared: %d with a name "+
		"that is none, %d ambiguous; %d different\n",
		cases, refusals, dropped, changed, odd, ambiguous, different)
	if different > 0 || cases == 0 {
		os.Exit(1)
	}
}
