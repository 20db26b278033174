package awssim

import (
	"encoding/json"
	"net/http"
	"time"
)

// control adds the world's own controls, for scripts in other languages and for people:
//
//	GET  /_sim/state          everything there is, as JSON
//	GET  /_sim/calls          every call made so far
//	POST /_sim/behaviors      [Behavior…]
//	POST /_sim/faults         [Fault…]; DELETE ends all
//	POST /_sim/interventions  [Intervention…]
//	POST /_sim/facts          {"name": "value"}
//	POST /_sim/clock          {"advance": "10m"} on a virtual clock, {"speed": 60} on a scaled one
func (w *World) control(mux *http.ServeMux) {
	mux.HandleFunc("GET /_sim/state", func(rw http.ResponseWriter, _ *http.Request) {
		state, err := w.State()
		if err != nil {
			http.Error(rw, err.Error(), http.StatusInternalServerError)
			return
		}
		writeJSON(rw, state)
	})
	mux.HandleFunc("GET /_sim/calls", func(rw http.ResponseWriter, _ *http.Request) { writeJSON(rw, w.Calls()) })
	post(mux, "POST /_sim/behaviors", func(v []Behavior) error { return w.Behave(v...) })
	post(mux, "POST /_sim/faults", func(v []Fault) error { return w.AddFault(v...) })
	mux.HandleFunc("DELETE /_sim/faults", func(rw http.ResponseWriter, _ *http.Request) {
		w.ClearFaults()
		rw.WriteHeader(http.StatusNoContent)
	})
	post(mux, "POST /_sim/interventions", func(v []Intervention) error { return w.Intervene(v...) })
	post(mux, "POST /_sim/facts", func(v map[string]string) error {
		for name, is := range v {
			w.SetFact(name, is)
		}
		return nil
	})
	post(mux, "POST /_sim/clock", func(v struct {
		Advance Duration `json:"advance"`
		Speed   float64  `json:"speed"`
	}) error {
		switch c := w.clock.(type) {
		case *VirtualClock:
			c.Advance(time.Duration(v.Advance))
		case *ScaledClock:
			c.SetSpeed(v.Speed)
		}
		return nil
	})
}

func writeJSON(rw http.ResponseWriter, v any) {
	rw.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(rw)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // a client that has gone away needs no answer
}

// post adds a control that takes JSON and answers 204, or 400 with what is wrong.
func post[T any](mux *http.ServeMux, pattern string, do func(T) error) {
	mux.HandleFunc(pattern, func(rw http.ResponseWriter, r *http.Request) {
		var v T
		d := json.NewDecoder(http.MaxBytesReader(rw, r.Body, maxBody))
		d.DisallowUnknownFields()
		err := d.Decode(&v)
		if err == nil {
			err = do(v)
		}
		if err != nil {
			http.Error(rw, err.Error(), http.StatusBadRequest)
			return
		}
		rw.WriteHeader(http.StatusNoContent)
	})
}
