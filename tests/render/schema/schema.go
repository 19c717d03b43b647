// Package schema reads the JSON schema of a chart's values as a tree of types, lists the places where a value can stand, and
// generates values that the schema accepts.
//
// It knows the keywords that this chart's schema uses. Any other is an error, so that a generator never overlooks one.
package schema

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Node is what the schema says about one value.
type Node struct {
	Description string
	Types       []string // such as "string", "integer" and "null"; any of them
	Default     any      // nil is a default too: Declared tells whether there is one
	Declared    bool
	Examples    []any // values that the chart accepts as they are
	Enum        []any
	Pattern     string
	MinLength   int
	MaxLength   int // 0: unlimited
	Minimum     *float64
	Maximum     *float64
	Items       *Node            // of an array
	MinItems    int              // of an array
	Unique      bool             // no item of an array twice
	Properties  map[string]*Node // of an object, by name
	Others      *Node            // of an object, for every other name; nil: there may be none, if Closed
	Closed      bool             // no names but those above
	Required    []string
	AtLeast     int              // names that an object must have
	AtMost      int              // names that an object may have; 0: unlimited
	Dependent   map[string]*Node // of an object: what else must hold when it has a name
}

// Is tells whether the value may have a type.
func (n *Node) Is(kind string) bool { return slices.Contains(n.Types, kind) }

// keywords are those of one schema, as they are written.
type keywords struct {
	Schema      string               `json:"$schema"`
	Title       string               `json:"title"`
	Definitions map[string]*keywords `json:"definitions"`

	Ref         string          `json:"$ref"`
	AllOf       []*keywords     `json:"allOf"`
	Description string          `json:"description"`
	Type        json.RawMessage `json:"type"`
	Default     json.RawMessage `json:"default"`
	Examples    []any           `json:"examples"`
	Enum        []any           `json:"enum"`
	Pattern     string          `json:"pattern"`
	MinLength   int             `json:"minLength"`
	MaxLength   int             `json:"maxLength"`
	Minimum     *float64        `json:"minimum"`
	Maximum     *float64        `json:"maximum"`

	Items    *keywords `json:"items"`
	MinItems int       `json:"minItems"`
	Unique   bool      `json:"uniqueItems"`

	Properties map[string]*keywords `json:"properties"`
	Additional json.RawMessage      `json:"additionalProperties"`
	Required   []string             `json:"required"`
	AtLeast    int                  `json:"minProperties"`
	AtMost     int                  `json:"maxProperties"`
	Dependent  map[string]*keywords `json:"dependencies"`
}

// Read reads a schema.
func Read(text string) (*Node, error) {
	root, err := parse([]byte(text))
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	node, err := root.node(root.Definitions)
	if err != nil {
		return nil, fmt.Errorf("read the schema: %w", err)
	}
	return node, nil
}

// parse refuses keywords that this package does not know.
func parse(text []byte) (*keywords, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	k := &keywords{}
	if err := decoder.Decode(k); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is more than one JSON value")
	}
	return k, nil
}

// node resolves references and gives the schema as a Node.
func (k *keywords) node(definitions map[string]*keywords) (*Node, error) {
	n := &Node{}
	for _, base := range append(slices.Clone(k.AllOf), k.reference()...) {
		if err := n.takeFrom(base, definitions); err != nil {
			return nil, err
		}
	}
	return n, n.takeFrom(&keywords{
		Description: k.Description, Type: k.Type, Default: k.Default, Examples: k.Examples, Enum: k.Enum, Pattern: k.Pattern, MinLength: k.MinLength, MaxLength: k.MaxLength,
		Minimum: k.Minimum, Maximum: k.Maximum, Items: k.Items, MinItems: k.MinItems, Unique: k.Unique,
		Properties: k.Properties, Additional: k.Additional, Required: k.Required,
		AtLeast: k.AtLeast, AtMost: k.AtMost, Dependent: k.Dependent,
	}, definitions)
}

// reference is the schema that k refers to, if it does.
func (k *keywords) reference() []*keywords {
	if k.Ref == "" {
		return nil
	}
	return []*keywords{{Ref: k.Ref}}
}

// takeFrom adds what one schema says, over what was said before.
func (n *Node) takeFrom(k *keywords, definitions map[string]*keywords) error {
	if k.Ref != "" {
		name, ok := strings.CutPrefix(k.Ref, "#/definitions/")
		if !ok || definitions[name] == nil {
			return fmt.Errorf("resolve the reference %q: there is no such definition", k.Ref)
		}
		return n.takeFrom(definitions[name], definitions)
	}
	n.Description = cmp.Or(k.Description, n.Description)
	n.Pattern = cmp.Or(k.Pattern, n.Pattern)
	n.MinLength, n.MaxLength, n.MinItems = max(n.MinLength, k.MinLength), cmp.Or(k.MaxLength, n.MaxLength), max(n.MinItems, k.MinItems)
	n.Unique = n.Unique || k.Unique
	n.AtLeast, n.AtMost = max(n.AtLeast, k.AtLeast), cmp.Or(k.AtMost, n.AtMost)
	n.Required = append(n.Required, k.Required...)
	if k.Enum != nil {
		n.Enum = k.Enum
	}
	if k.Examples != nil {
		n.Examples = k.Examples
	}
	if k.Minimum != nil {
		n.Minimum = k.Minimum
	}
	if k.Maximum != nil {
		n.Maximum = k.Maximum
	}
	if k.Default != nil {
		n.Declared = true
		if err := json.Unmarshal(k.Default, &n.Default); err != nil {
			return fmt.Errorf("read a default: %w", err)
		}
	}
	if err := n.takeType(k.Type); err != nil {
		return err
	}
	return n.takeChildren(k, definitions)
}

// takeType reads "type", which is a word or a list of words.
func (n *Node) takeType(text json.RawMessage) error {
	if text == nil {
		return nil
	}
	var one string
	if json.Unmarshal(text, &one) == nil {
		n.Types = []string{one}
		return nil
	}
	if err := json.Unmarshal(text, &n.Types); err != nil {
		return fmt.Errorf("read a type: %w", err)
	}
	return nil
}

// takeChildren reads the schemas of items and of properties.
func (n *Node) takeChildren(k *keywords, definitions map[string]*keywords) error {
	child := func(into **Node, from *keywords, name string) error {
		node, err := from.node(definitions)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		*into = node
		return nil
	}
	if k.Items != nil {
		if err := child(&n.Items, k.Items, "items"); err != nil {
			return err
		}
	}
	for into, from := range map[*map[string]*Node]map[string]*keywords{&n.Properties: k.Properties, &n.Dependent: k.Dependent} {
		for name, schema := range from {
			var node *Node
			if err := child(&node, schema, name); err != nil {
				return err
			}
			if *into == nil {
				*into = map[string]*Node{}
			}
			(*into)[name] = node
		}
	}
	switch string(k.Additional) {
	case "", "true":
		return nil
	case "false":
		n.Closed = true
		return nil
	}
	others, err := parse(k.Additional)
	if err != nil {
		return fmt.Errorf("additionalProperties: %w", err)
	}
	return child(&n.Others, others, "additionalProperties")
}

// Known are the names of the properties, sorted.
func (n *Node) Known() []string { return slices.Sorted(maps.Keys(n.Properties)) }

// Fits tells whether an object may have just these names.
func (n *Node) Fits(object map[string]any) bool {
	if len(object) < n.AtLeast || n.AtMost > 0 && len(object) > n.AtMost {
		return false
	}
	for name, dependent := range n.Dependent {
		if _, ok := object[name]; ok && !dependent.Fits(object) {
			return false
		}
	}
	return true
}

// Sample is a value that the schema accepts.
func (n *Node) Sample() any {
	switch {
	case len(n.Enum) > 0:
		return n.Enum[0]
	case n.Minimum != nil:
		return *n.Minimum
	case n.Is("object"):
		return map[string]any{}
	case n.Is("array"):
		return []any{}
	}
	for _, text := range []string{"example", "10.0.0.0/8", "1"} {
		if ok, err := regexp.MatchString(n.Pattern, text); err == nil && ok {
			return text
		}
	}
	return ""
}
