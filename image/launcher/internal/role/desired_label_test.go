package role

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const labelledDownAfter = 3 * time.Second

var (
	labelledAt   = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	masterLabels = PodLabels{Known: true, Role: Master, RunID: "abcdef"}
)

// desiredMaster is the desire to be master that follows from a look at labelledAt.
func desiredMaster() DesiredLabel {
	var d DesiredLabel
	d.Want(Master, "abcdef", labelledAt, false)
	return d
}

func TestLabelsAreDesiredUntilTheNextLook(t *testing.T) {
	var d DesiredLabel
	require.Equal(t, PodLabels{}, d.At(labelledAt, labelledDownAfter), "without a look nothing is desired")
	require.True(t, d.Want(Slave, "abcdef", labelledAt, false))
	require.False(t, d.Want(Slave, "abcdef", labelledAt.Add(1), false), "nothing has changed")
	require.True(t, d.Want(Slave, "012345", labelledAt.Add(2), false))
	require.Equal(t, PodLabels{Known: true, Role: Slave, RunID: "012345"}, d.At(labelledAt.Add(time.Hour), labelledDownAfter))
	require.False(t, d.Owned())
	require.True(t, d.Want("", "", labelledAt.Add(3), false))
	require.Equal(t, PodLabels{Known: true}, d.At(labelledAt, labelledDownAfter))
}

// A pod that has stood still wakes up with the desire of the moment before.
func TestDesireToBeMasterIsNoOlderThanAFailoverTakes(t *testing.T) {
	d := desiredMaster()
	require.Equal(t, masterLabels, d.At(labelledAt.Add(labelledDownAfter), labelledDownAfter))
	late := labelledAt.Add(labelledDownAfter + 1)
	require.Equal(t, PodLabels{}, d.At(late, labelledDownAfter))
	require.True(t, d.Owned(), "however old it is")
	require.False(t, d.Want(Master, "abcdef", late, false), "the same labels are desired")
	require.Equal(t, masterLabels, d.At(late, labelledDownAfter), "the next look renews it")
}

func TestLabelsThatAreHeldStayAsTheyAre(t *testing.T) {
	d := desiredMaster()
	d.Wrote(masterLabels, labelledAt)
	d.Hold(labelledAt.Add(-1))
	require.True(t, d.Owned(), "a look that began before knew less")
	d.Hold(labelledAt)
	require.False(t, d.At(labelledAt, labelledDownAfter).Known)
	require.False(t, d.Owned())
	require.False(t, d.Done())
	require.True(t, d.Want(Master, "abcdef", labelledAt, false), "the labels may have changed meanwhile")
	require.True(t, d.Done())
}

// A replacement beside the loop labels its pod while a look of the loop waits for answers.
func TestLookThatBeganBeforeDoesNotChangeTheLabel(t *testing.T) {
	d := desiredMaster()
	require.False(t, d.Want(Slave, "abcdef", labelledAt.Add(-1), false))
	require.True(t, d.Owned())
	require.True(t, d.Want(Slave, "abcdef", labelledAt, false))
}

func TestOnlyALookAfterTheLossOfTheLabelBringsItBack(t *testing.T) {
	d := desiredMaster()
	d.Wrote(masterLabels, labelledAt)
	lost := labelledAt.Add(time.Second)
	require.True(t, d.Disown(lost))
	require.False(t, d.Owned())
	require.False(t, d.Done())
	_, recent := d.Written(lost)
	require.False(t, recent, "the watched pods show the loss")
	for _, label := range []string{Master, Slave, ""} {
		require.False(t, d.Want(label, "abcdef", lost.Add(-1), false), "whoever took the label knew more")
		require.Equal(t, PodLabels{}, d.At(lost, labelledDownAfter))
	}
	require.True(t, d.Want(Master, "abcdef", lost, false))
	require.Equal(t, masterLabels, d.At(lost, labelledDownAfter))
}

func TestPodThatGivesTheLabelUpItselfIsNotDisowned(t *testing.T) {
	for _, label := range []string{Slave, ""} {
		d := desiredMaster()
		d.Want(label, "abcdef", labelledAt, false)
		require.False(t, d.Disown(labelledAt.Add(1)), label)
		require.True(t, d.Want(Master, "abcdef", labelledAt, false), "no look is too old")
	}
	d := desiredMaster()
	d.Hold(labelledAt.Add(time.Hour))
	require.True(t, d.Disown(labelledAt.Add(1)), "an uncertain pod has not given it up")
}

func TestPodThatIsGoneIsNeverToBeMaster(t *testing.T) {
	d := desiredMaster()
	require.False(t, d.Want(Master, "abcdef", labelledAt.Add(1), true))
	require.Equal(t, PodLabels{}, d.At(labelledAt.Add(1), labelledDownAfter))
	require.False(t, d.Owned())
	require.True(t, d.Want("", "", labelledAt.Add(2), true), "any other label does no harm")
}

func TestWatchedPodsCountAgainTwoSecondsAfterAWrite(t *testing.T) {
	d := desiredMaster()
	_, recent := d.Written(labelledAt)
	require.False(t, recent, "nothing has been written")
	d.Found(masterLabels)
	require.True(t, d.Done())
	_, recent = d.Written(labelledAt)
	require.False(t, recent, "nor was it necessary")
	d.Wrote(masterLabels, labelledAt)
	labels, recent := d.Written(labelledAt.Add(labelLag - 1))
	require.Equal(t, masterLabels, labels)
	require.True(t, recent)
	_, recent = d.Written(labelledAt.Add(labelLag))
	require.False(t, recent)
}
