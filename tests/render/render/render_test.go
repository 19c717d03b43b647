package render

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
)

// failure records how a helper fails a test.
type failure struct{ text string }

func (f *failure) Helper() {}
func (f *failure) Fatalf(format string, args ...any) {
	if f.text == "" {
		f.text = fmt.Sprintf(format, args...)
	}
}

func TestDecodeRefusesWhatOtherDecodersOverlook(t *testing.T) {
	pod := func(lines ...string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: x\nspec:\n  " + strings.Join(lines, "\n  ") + "\n"
	}
	_, err := decode(pod("restartPolicy: Never"))
	require.NoError(t, err)
	for name, document := range map[string]string{
		"unknown field":      pod("restartPolice: Never"),
		"wrong letter case":  pod("restartpolicy: Never"),
		"wrong type":         pod("hostNetwork: yes please"),
		"the same key twice": pod("restartPolicy: Never", "restartPolicy: Always"),
		"unknown kind":       "apiVersion: v1\nkind: Pods\n",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := decode(document)
			assert.Error(t, err)
		})
	}
}

func TestOneNamesWhatIsThere(t *testing.T) {
	f := &failure{}
	One[*corev1.Service](f, Chart(t, nil), "no-such-service")
	assert.Contains(t, f.text, `no Service "no-such-service"`)
	assert.Contains(t, f.text, "Service/"+Fullname+"-master-svc")
}

func TestNoneCountsWhatIsThere(t *testing.T) {
	f := &failure{}
	None[*corev1.Service](f, Chart(t, nil))
	assert.Contains(t, f.text, "4 objects of kind Service")
	None[*corev1.Secret](t, Chart(t, nil))
}

func TestRefusedFailsForGoodValues(t *testing.T) {
	f := &failure{}
	Refused(f, Values{"auth": true})
	assert.Contains(t, f.text, "accepts values that it must refuse")
}

func TestChartFailsForBadValues(t *testing.T) {
	f := &failure{}
	Chart(f, Values{"auth": "perhaps"})
	assert.Contains(t, f.text, "render the chart")
}
