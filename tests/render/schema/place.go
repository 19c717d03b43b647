package schema

import (
	"maps"
	"slices"
	"strings"
)

// Steps of a path that are no names.
const (
	Item  = "[]" // an item of a list
	Entry = "*"  // the value of any name in a map
	Key   = "<key>"
)

// Place is where one value can stand.
type Place struct {
	Node    *Node
	Path    []string // names, Item, Entry, or Key at the end for the name itself
	parents []*Node  // of each step
}

// String gives the path as messages and documents spell it: "servers.annotations.*", "tolerations[].key".
func (p Place) String() string {
	return strings.ReplaceAll(strings.Join(p.Path, "."), "."+Item, Item)
}

// Values are the smallest values with the given one at this place: what the schema requires next to it is there, too, and where
// the schema has an example with such a value, what that has.
func (p Place) Values(value any) map[string]any {
	for i, step := range slices.Backward(p.Path) {
		switch step {
		case Item:
			value = []any{value}
		case Entry:
			value = map[string]any{p.parents[i].anyName(): value}
		case Key:
			value = map[string]any{value.(string): "example"}
		default:
			section := map[string]any{step: value}
			for name, beside := range p.parents[i].beside(step) {
				if i > 0 && name != step {
					section[name] = beside
				}
			}
			value = section
		}
	}
	return value.(map[string]any)
}

// anyName is a name that a map accepts: that of its example, if it has one.
func (n *Node) anyName() string {
	for _, example := range n.Examples {
		if example, ok := example.(map[string]any); ok && len(example) == 1 {
			return slices.Collect(maps.Keys(example))[0]
		}
	}
	return "example"
}

// beside is what an object with a property of this name needs to be accepted.
func (n *Node) beside(name string) map[string]any {
	found := map[string]any{}
	for _, required := range n.Required {
		if !n.Properties[required].Declared {
			found[required] = n.Properties[required].Sample()
		}
	}
	for _, example := range n.Examples {
		if example, ok := example.(map[string]any); ok && example[name] != nil {
			maps.Copy(found, example)
			break
		}
	}
	return found
}

// Leaf is the part of the path that has a default and a description of its own: "servers.annotations" of "servers.annotations.*".
func (p Place) Leaf() string {
	for i, step := range p.Path {
		if step == Item || step == Entry || step == Key {
			return strings.Join(p.Path[:i], ".")
		}
	}
	return strings.Join(p.Path, ".")
}

// Places lists every place below the schema of a map, in order: sections, leaves, items and entries. What the schema leaves
// open, such as values for a parent chart, has no places.
func (n *Node) Places() []Place {
	var places []Place
	var walk func(p Place)
	walk = func(p Place) {
		child := func(step string, node *Node) Place {
			return Place{node, append(slices.Clone(p.Path), step), append(slices.Clone(p.parents), p.Node)}
		}
		if len(p.Path) > 0 {
			places = append(places, p)
		}
		for _, name := range p.Node.Known() {
			walk(child(name, p.Node.Properties[name]))
		}
		if p.Node.Items != nil {
			walk(child(Item, p.Node.Items))
		}
		if p.Node.Others != nil {
			places = append(places, child(Key, &Node{Types: []string{"string"}}))
			walk(child(Entry, p.Node.Others))
		}
	}
	walk(Place{Node: n})
	return places
}

// Leaves are the places that the values file has: scalars, lists and maps, but no section with names of its own.
func (n *Node) Leaves() []Place {
	return slices.DeleteFunc(n.Places(), func(p Place) bool {
		return p.Leaf() != p.String() || len(p.Node.Properties) > 0 && !p.Node.Declared || p.Node.Is("object") && len(p.Node.Properties) == 0 && p.Node.Others == nil
	})
}

// Texts are the places where a string can stand, names in maps included.
func (n *Node) Texts() []Place {
	return slices.DeleteFunc(n.Places(), func(p Place) bool { return !p.Node.Is("string") })
}

// Merge adds values to others, section by section.
func Merge(into, from map[string]any) {
	for name, value := range from {
		section, ok := value.(map[string]any)
		existing, both := into[name].(map[string]any)
		if ok && both {
			Merge(existing, section)
			continue
		}
		into[name] = value
	}
}
