// Package generate makes values that a chart's schema accepts, for property tests.
package generate

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/redis-ha/redis-ha/tests/render/schema"
)

const (
	// few is how many items or entries a list or map has at most, where the schema sets no smaller limit.
	few = 3
	// anyNumber bounds numbers that the schema does not bound.
	anyNumber = 1 << 20
)

// Value gives values that a schema accepts, with the types that a values file has. Text without a pattern is drawn from the
// given generator.
func Value(n *schema.Node, text *rapid.Generator[string]) *rapid.Generator[any] {
	if n.Enum != nil {
		return rapid.SampledFrom(n.Enum)
	}
	var kinds []*rapid.Generator[any]
	if n.Examples != nil {
		kinds = append(kinds, rapid.SampledFrom(n.Examples))
	}
	for _, kind := range n.Types {
		switch kind {
		case "null":
			kinds = append(kinds, rapid.Just[any](nil))
		case "boolean":
			kinds = append(kinds, rapid.Bool().AsAny())
		case "integer":
			kinds = append(kinds, integers(n))
		case "number":
			kinds = append(kinds, integers(n), rapid.Map(rapid.Float64Range(bounds(n)), func(f float64) any { return math.Round(f*1000) / 1000 }))
		case "string":
			kinds = append(kinds, texts(n, text).AsAny())
		case "array":
			kinds = append(kinds, lists(n, text))
		case "object":
			kinds = append(kinds, maps(n, text))
		default:
			panic(fmt.Sprintf("generate a value of the type %q: it is not a type of JSON schema", kind))
		}
	}
	return rapid.OneOf(kinds...)
}

// Text gives texts that the pattern of a value accepts.
func Text(n *schema.Node) *rapid.Generator[any] { return texts(n, rapid.String()).AsAny() }

func bounds(n *schema.Node) (low, high float64) {
	low, high = -anyNumber, anyNumber
	if n.Minimum != nil {
		low = *n.Minimum
	}
	if n.Maximum != nil {
		high = *n.Maximum
	}
	return low, high
}

// integers prefers the limits and small steps from the lowest, where rules meet.
func integers(n *schema.Node) *rapid.Generator[any] {
	low, high := bounds(n)
	from, to := int(low), int(high)
	return rapid.Map(rapid.OneOf(rapid.SampledFrom([]int{from, to}), rapid.IntRange(from, min(to, from+8)), rapid.IntRange(from, to)),
		func(i int) any { return float64(i) })
}

func texts(n *schema.Node, free *rapid.Generator[string]) *rapid.Generator[string] {
	if n.Pattern != "" {
		free = rapid.StringMatching(n.Pattern)
	}
	if n.MinLength == 0 && n.MaxLength == 0 {
		return free
	}
	return free.Filter(func(s string) bool {
		count := utf8.RuneCountInString(s)
		return count >= n.MinLength && (n.MaxLength == 0 || count <= n.MaxLength)
	})
}

func lists(n *schema.Node, text *rapid.Generator[string]) *rapid.Generator[any] {
	items := Value(n.Items, text)
	list := rapid.SliceOfN(items, n.MinItems, max(few, n.MinItems))
	if n.Unique {
		list = rapid.SliceOfNDistinct(items, n.MinItems, max(few, n.MinItems), func(item any) string { return fmt.Sprint(item) })
	}
	return rapid.Map(list, func(items []any) any { return items })
}

// maps have any of the known names, and some others where these are allowed.
func maps(n *schema.Node, text *rapid.Generator[string]) *rapid.Generator[any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		values := map[string]any{}
		for _, name := range n.Known() {
			if slices.Contains(n.Required, name) || rapid.Bool().Draw(t, "with "+name) {
				values[name] = Value(n.Properties[name], text).Draw(t, name)
			}
		}
		if n.Others != nil {
			names := rapid.OneOf(rapid.StringMatching(`[a-z][a-z0-9-]{0,20}`), text)
			for range rapid.IntRange(0, few).Draw(t, "entries") {
				values[names.Draw(t, "name")] = Value(n.Others, text).Draw(t, "value")
			}
		}
		return values
	}).Filter(n.Fits).AsAny()
}

// Some gives values with one leaf or more, at most as many as told, set to something that the schema accepts.
func Some(leaves []schema.Place, most int, text *rapid.Generator[string]) *rapid.Generator[map[string]any] {
	return rapid.Custom(func(t *rapid.T) map[string]any {
		values := map[string]any{}
		for _, i := range rapid.SliceOfNDistinct(rapid.IntRange(0, len(leaves)-1), 1, most, rapid.ID[int]).Draw(t, "leaves") {
			leaf := leaves[i]
			schema.Merge(values, leaf.Values(Value(leaf.Node, text).Draw(t, leaf.String())))
		}
		return values
	})
}
