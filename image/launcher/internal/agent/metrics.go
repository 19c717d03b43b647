package agent

import (
	"net/netip"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/redis-ha/redis-ha/image/launcher/internal/certificate"
	"github.com/redis-ha/redis-ha/image/launcher/internal/config"
	"github.com/redis-ha/redis-ha/image/launcher/internal/kube"
	"github.com/redis-ha/redis-ha/image/launcher/internal/password"
	"github.com/redis-ha/redis-ha/image/launcher/internal/web"
)

// Metrics are what the launcher counts.
type Metrics struct {
	state       *prometheus.GaugeVec
	labelWrites *prometheus.CounterVec
	failovers   *prometheus.CounterVec
	handOvers   *prometheus.CounterVec
	notices     *prometheus.CounterVec
	waited      prometheus.Counter
	questions   *prometheus.CounterVec
	// The last good backup; told by the master only.
	backupTime, backupSize *prometheus.GaugeVec
}

// NewMetrics registers the metrics.
func NewMetrics(registry *prometheus.Registry) *Metrics {
	m := &Metrics{
		state: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "redis_ha_launcher_state",
			Help: "1 for the state the launcher is in, by name."}, []string{"state"}),
		labelWrites: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redis_ha_label_writes_total",
			Help: "Writes of the pod's own labels, by result."}, []string{"result"}),
		failovers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redis_ha_failovers_commanded_total",
			Help: "Failovers this launcher carried out or told a sentinel to carry out, by cause."}, []string{"cause"}),
		handOvers: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redis_ha_hand_overs_total",
			Help: "Planned hand-overs of mastership, by result."}, []string{"result"}),
		notices: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redis_ha_sentinel_notices_total",
			Help: "Messages of the local sentinel, by channel."}, []string{"channel"}),
		waited: prometheus.NewCounter(prometheus.CounterOpts{Name: "redis_ha_writes_waited_seconds_total",
			Help: "Time for which the writes of this master have waited for its replicas; see servers.maxReplicationLag."}),
		questions: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "redis_ha_questions_total",
			Help: "Questions and orders to Redis and Sentinel, by the process asked: own, server or sentinel."}, []string{"to"}),
		backupTime: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "redis_ha_last_backup_timestamp_seconds",
			Help: "When the last good backup began, in seconds since 1970; 0: there is none. Told by the master."}, nil),
		backupSize: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "redis_ha_last_backup_size_bytes",
			Help: "Size of the last good backup where it is kept. Told by the master."}, nil),
	}
	statusQuestions := prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "redis_ha_status_questions_total",
		Help: "Questions for the status of other launchers."}, func() float64 { return float64(web.StatusQuestions()) })
	registry.MustRegister(m.state, m.labelWrites, m.failovers, m.handOvers, m.notices, m.waited, m.questions, m.backupTime, m.backupSize, statusQuestions)
	return m
}

// countQuestions gives what counts the questions of a pod.
func (m *Metrics) countQuestions(c config.Config) func(netip.AddrPort) {
	own, server, sentinel := m.questions.WithLabelValues("own"), m.questions.WithLabelValues("server"), m.questions.WithLabelValues("sentinel")
	return func(to netip.AddrPort) {
		switch {
		case to.Addr() == c.PodIP:
			own.Inc()
		case int(to.Port()) == c.SentinelPort:
			sentinel.Inc()
		default:
			server.Inc()
		}
	}
}

func (m *Metrics) countLabelWrite(result string) { m.labelWrites.WithLabelValues(result).Inc() }

// setBackup tells the last good backup.
func (m *Metrics) setBackup(last kube.LastBackup) {
	var began float64
	if !last.Time.IsZero() {
		began = float64(last.Time.Unix())
	}
	m.backupTime.WithLabelValues().Set(began)
	m.backupSize.WithLabelValues().Set(float64(last.Size))
}

// forgetBackup leaves it to another pod to tell the last good backup.
func (m *Metrics) forgetBackup() {
	m.backupTime.Reset()
	m.backupSize.Reset()
}

func (m *Metrics) setState(state string) {
	m.state.Reset()
	m.state.WithLabelValues(state).Set(1)
}

// CountCertificate registers the metric that tells when the certificate expires.
func (m *Metrics) CountCertificate(registry *prometheus.Registry, k *certificate.Keeper) {
	registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "redis_ha_certificate_expiry_timestamp_seconds",
		Help: "When the certificate of this pod expires, or the last of its authorities if that is earlier, in seconds since 1970."},
		func() float64 { return float64(k.State().Expires.Unix()) }))
}

// CountPasswords registers the metrics that tell how far a change of the password is. k is nil where there is one password for good.
func (m *Metrics) CountPasswords(registry *prometheus.Registry, k *password.Keeper) {
	if k == nil {
		return
	}
	registry.MustRegister(
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "redis_ha_password_in_use",
			Help: "1 if replicas, sentinels and the launcher of this pod use the password that its Secret holds; 0: they wait until all pods accept it."},
			func() float64 {
				if k.Told().InUse {
					return 1
				}
				return 0
			}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "redis_ha_earlier_passwords",
			Help: "How many earlier passwords Redis or the sentinel of this pod accepts as well; no password counts as one."},
			func() float64 { return float64(k.Told().Earlier) }))
}
