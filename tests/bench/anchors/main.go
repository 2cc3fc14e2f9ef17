// What others need to read a body, for `./dev bench parse`: runs one of the anchors on the file for some
// CPU seconds and prints one line of JSON. One thread, the collector's time included.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/VictoriaMetrics/VictoriaMetrics/lib/protoparser/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
	"google.golang.org/protobuf/proto"
)

// An anchor reads the body as often as there are nodes, or once, and tells how many samples it read.
type anchor struct {
	perNode bool
	read    func(body []byte, nodes int) int
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

// VictoriaMetrics' parser into rows that are used again and point into the text: its best.
type vm struct {
	rows prometheus.Rows
	out  []byte
}

func (v *vm) parse(body []byte, _ int) int {
	text := unsafe.String(unsafe.SliceData(body), len(body)) // no copy
	v.rows.UnmarshalWithErrLogger(text, func(words string) { log.Fatal(words) })
	return len(v.rows.Rows)
}

func (v *vm) parseAndWrite(body []byte, _ int) int {
	samples := v.parse(body, 1)
	out := v.out[:0]
	for i := range v.rows.Rows {
		row := &v.rows.Rows[i]
		out = append(out, row.Metric...)
		out = append(out, `{cluster="prod",node_name="node-1",node_role="standby"`...)
		for _, tag := range row.Tags {
			out = append(append(append(out, ','), tag.Key...), `="`...)
			out = append(appendEscaped(out, tag.Value), '"')
		}
		out = append(strconv.AppendFloat(append(out, "} "...), row.Value, 'g', -1, 64), '\n')
	}
	v.out = out
	return samples
}

func appendEscaped(out []byte, value string) []byte {
	if !strings.ContainsAny(value, "\\\"\n") {
		return append(out, value...)
	}
	for i := 0; i < len(value); i++ {
		switch value[i] {
		case '\n':
			out = append(out, `\n`...)
		case '\\', '"':
			out = append(out, '\\', value[i])
		default:
			out = append(out, value[i])
		}
	}
	return out
}

// Prometheus' scrape parser, with the labels of each series.
type scrape struct {
	symbols *labels.SymbolTable
	series  labels.Labels
	bytes   int
}

func (s *scrape) parse(body []byte, _ int) int {
	parser := textparse.NewPromParser(body, s.symbols, false)
	for samples := 0; ; {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return samples
		}
		check(err)
		if entry == textparse.EntrySeries {
			parser.Labels(&s.series)
			s.bytes += s.series.Len()
			samples++
		}
	}
}

// What the exporters do that merge with Prometheus' library.
func expfmtMerge(body []byte, nodes int) int {
	merged := map[string]*dto.MetricFamily{}
	for node := 0; node < nodes; node++ {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
		check(err)
		added := []*dto.LabelPair{
			{Name: proto.String("cluster"), Value: proto.String("prod")},
			{Name: proto.String("node_name"), Value: proto.String(fmt.Sprintf("node-%d", node))},
			{Name: proto.String("node_role"), Value: proto.String("standby")},
		}
		for name, family := range families {
			for _, metric := range family.Metric {
				metric.Label = append(metric.Label, added...)
			}
			if known := merged[name]; known != nil {
				known.Metric = append(known.Metric, family.Metric...)
			} else {
				merged[name] = family
			}
		}
	}
	names := make([]string, 0, len(merged))
	for name := range merged {
		names = append(names, name)
	}
	sort.Strings(names)
	var out bytes.Buffer
	encoder := expfmt.NewEncoder(&out, expfmt.NewFormat(expfmt.TypeTextPlain))
	for _, name := range names {
		check(encoder.Encode(merged[name]))
	}
	// expfmt counts a summary as one; the samples are the lines that are no comments.
	return bytes.Count(out.Bytes(), []byte("\n")) - bytes.Count(out.Bytes(), []byte("# "))
}

func cpuSeconds() float64 {
	var usage syscall.Rusage
	check(syscall.Getrusage(syscall.RUSAGE_SELF, &usage))
	return float64(usage.Utime.Sec+usage.Stime.Sec) + float64(usage.Utime.Usec+usage.Stime.Usec)/1e6
}

func main() {
	mode := flag.String("mode", "vm", "vm, vm_write, textparse or expfmt_merge")
	nodes := flag.Int("nodes", 3, "bodies that are merged")
	seconds := flag.Float64("seconds", 1, "CPU seconds, at least")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	victoria, prom := &vm{}, &scrape{symbols: labels.NewSymbolTable()}
	anchors := map[string]anchor{
		"vm":           {false, victoria.parse},
		"vm_write":     {false, victoria.parseAndWrite},
		"textparse":    {false, prom.parse},
		"expfmt_merge": {true, expfmtMerge},
	}
	chosen, known := anchors[*mode]
	if !known || flag.NArg() != 1 {
		log.Fatal("usage: anchors --mode MODE [--nodes N] [--seconds S] FILE")
	}
	body, err := os.ReadFile(flag.Arg(0))
	check(err)
	bodies := 1
	if chosen.perNode {
		bodies = *nodes
	}
	chosen.read(body, *nodes) // tables and buffers get their size
	runtime.GC()
	start, read, samples := cpuSeconds(), 0, 0
	for cpuSeconds()-start < *seconds {
		samples += chosen.read(body, *nodes)
		read += bodies * len(body)
	}
	spent := cpuSeconds() - start
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"mode": *mode, "bytes": read, "cpu_seconds": spent,
		"mb_per_s": float64(read) / 1e6 / spent, "samples_per_s": float64(samples) / spent,
	}))
}
