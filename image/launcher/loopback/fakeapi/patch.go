package fakeapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	corev1 "k8s.io/api/core/v1"
	apiequality "k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/apimachinery/pkg/util/validation"
)

// RoleLabel is the label whose changes between pods the server polices.
const RoleLabel = "redis-role"

// applyPatch returns the pod after a patch, refused in the way of the real
// server: 400 for what cannot be read, 409 for another resource version, 422
// for a failed test or another uid.
func applyPatch(pod *corev1.Pod, patchType types.PatchType, patch []byte) (*corev1.Pod, error) {
	current, err := json.Marshal(pod)
	if err != nil {
		return nil, apierrors.NewInternalError(err)
	}
	var patched []byte
	switch patchType {
	case types.StrategicMergePatchType:
		patched, err = strategicpatch.StrategicMergePatch(current, patch, corev1.Pod{})
	case types.MergePatchType:
		patched, err = jsonpatch.MergePatch(current, patch)
	case types.JSONPatchType:
		var operations jsonpatch.Patch
		if operations, err = jsonpatch.DecodePatch(patch); err == nil {
			patched, err = operations.Apply(current)
			if err != nil {
				return nil, unprocessable(err.Error())
			}
		}
	default:
		return nil, &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
			Message: fmt.Sprintf("the body of the request was in an unknown format: %s", patchType)}}
	}
	if err != nil {
		return nil, apierrors.NewBadRequest(err.Error())
	}
	result := &corev1.Pod{}
	decoder := json.NewDecoder(bytes.NewReader(patched))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(result); err != nil {
		return nil, unprocessable("patch: " + err.Error())
	}
	if result.ResourceVersion != pod.ResourceVersion {
		return nil, apierrors.NewConflict(pods.resource.GroupResource(), pod.Name,
			fmt.Errorf("the object has been modified; please apply your changes to the latest version and try again"))
	}
	if result.UID != pod.UID {
		return nil, unprocessable(fmt.Sprintf("metadata.uid: Invalid value: %q: field is immutable", result.UID))
	}
	for key, value := range result.Labels {
		problems := append(validation.IsQualifiedName(key), validation.IsValidLabelValue(value)...)
		if len(problems) > 0 {
			return nil, unprocessable(fmt.Sprintf("metadata.labels: %s=%s: %s", key, value, strings.Join(problems, "; ")))
		}
	}
	return result, nil
}

func unprocessable(message string) error {
	return apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", message, 0, false)
}

// ownFields are what a launcher may change on its own pod.
var (
	ownLabels      = map[string]bool{RoleLabel: true, "podIP": true, "runID": true}
	ownAnnotations = map[string]bool{corev1.PodDeletionCost: true}
)

// trespass says what about a patch goes beyond what a launcher may do: change
// its runtime labels and deletion cost on its own pod, and, for a sentinel's
// launcher only, take the label master off another pod after testing uid and
// value. It returns "" for a patch that is in order.
func trespass(user *corev1.Pod, userName string, before, after *corev1.Pod, patchType types.PatchType, patch []byte) string {
	rest := after.DeepCopy()
	rest.Labels, rest.Annotations = before.Labels, before.Annotations
	if !apiequality.Semantic.DeepEqual(rest, before) {
		return "changes more than labels and annotations"
	}
	labels, annotations := differing(before.Labels, after.Labels), differing(before.Annotations, after.Annotations)
	if userName == before.Name {
		for _, key := range labels {
			if !ownLabels[key] {
				return "changes the label " + key + " of its pod"
			}
		}
		for _, key := range annotations {
			if !ownAnnotations[key] {
				return "changes the annotation " + key + " of its pod"
			}
		}
		return ""
	}
	if user == nil || user.Labels["component"] != "sentinel" {
		return "comes from another pod that is not a sentinel"
	}
	if patchType != types.JSONPatchType {
		return "to another pod is not a JSON patch"
	}
	var operations []struct{ Op, Path string }
	if err := json.Unmarshal(patch, &operations); err != nil {
		return "cannot be read: " + err.Error()
	}
	tested := map[string]bool{}
	for _, operation := range operations {
		if operation.Op == "test" {
			tested[operation.Path] = true
		}
	}
	if !tested["/metadata/uid"] || !tested["/metadata/labels/"+RoleLabel] {
		return "to another pod does not test uid and " + RoleLabel
	}
	if _, still := after.Labels[RoleLabel]; still || before.Labels[RoleLabel] != "master" || len(labels) != 1 || len(annotations) != 0 {
		return "to another pod does something else than removing " + RoleLabel + "=master"
	}
	return ""
}

// differing returns the keys that are not the same in both maps.
func differing(a, b map[string]string) []string {
	var keys []string
	for key, value := range a {
		if other, ok := b[key]; !ok || other != value {
			keys = append(keys, key)
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			keys = append(keys, key)
		}
	}
	return keys
}
