// Reads bodies as Prometheus reads them. Standard input: bodies, each after its length (32 bits, little
// endian). Standard output, for each: the answer of Prometheus' scrape parser, then that of expfmt, each
// after its length: "ok" and the series as dump() has them, or "no " and the parser's words.
package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"os"
	"regexp"
	"sort"
	"strconv"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// Bytes that no UTF-8 text has, so that no escape is needed: after a word, and after a series.
const (
	wordEnd   = 0xFF
	seriesEnd = 0xFE
)

var number = regexp.MustCompile(`^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$`)

// Prometheus writes the numbers in le and quantile anew where TYPE says that they are numbers.
func boundary(value string) string {
	if !number.MatchString(value) {
		return value
	}
	f, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return value
	}
	return bits(f)
}

func bits(value float64) string {
	if math.IsNaN(value) {
		return "NaN"
	}
	return strconv.FormatUint(math.Float64bits(value), 16)
}

// A series: its labels, the name among them, sorted, each name and value; then value and timestamp.
func dump(out []byte, series labels.Labels, value float64, stamp *int64) []byte {
	type pair struct{ name, value string }
	var pairs []pair
	series.Range(func(l labels.Label) {
		if l.Name == "le" || l.Name == "quantile" {
			l.Value = boundary(l.Value)
		}
		if l.Value != "" {
			pairs = append(pairs, pair{l.Name, l.Value})
		}
	})
	sort.Slice(pairs, func(i, j int) bool {
		if pairs[i].name != pairs[j].name {
			return pairs[i].name < pairs[j].name
		}
		return pairs[i].value < pairs[j].value
	})
	for _, p := range pairs {
		out = append(append(out, p.name...), wordEnd)
		out = append(append(out, p.value...), wordEnd)
	}
	out = append(append(out, bits(value)...), wordEnd)
	if stamp != nil {
		out = strconv.AppendInt(out, *stamp, 10)
	}
	return append(out, seriesEnd)
}

func askPrometheus(body []byte) []byte {
	parser := textparse.NewPromParser(body, labels.NewSymbolTable(), false)
	out := []byte("ok")
	var series labels.Labels
	for {
		entry, err := parser.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			return []byte("no " + err.Error())
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, stamp, value := parser.Series()
		parser.Labels(&series)
		out = dump(out, series, value, stamp)
	}
}

// It panics on some bodies that no node would send: a quantile label before the quoted name of a summary.
func askExpfmt(body []byte) (answer []byte) {
	defer func() {
		if fault := recover(); fault != nil {
			answer = []byte(fmt.Sprintf("no panic: %v", fault))
		}
	}()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(bytes.NewReader(body)); err != nil {
		return []byte("no " + err.Error())
	}
	return []byte("ok")
}

func answer(out io.Writer, words []byte) error {
	if err := binary.Write(out, binary.LittleEndian, uint32(len(words))); err != nil {
		return err
	}
	_, err := out.Write(words)
	return err
}

func run(in io.Reader, out *bufio.Writer) error {
	for {
		var size uint32
		if err := binary.Read(in, binary.LittleEndian, &size); err != nil {
			if errors.Is(err, io.EOF) {
				return out.Flush()
			}
			return err
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		// Each gets bytes of its own: the first appends to what it is given.
		if err := answer(out, askPrometheus(append([]byte(nil), body...))); err != nil {
			return err
		}
		if err := answer(out, askExpfmt(body)); err != nil {
			return err
		}
	}
}

func main() {
	if err := run(bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)); err != nil {
		log.Fatal(err)
	}
}
