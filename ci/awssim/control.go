package awssim

import "net/http"

// control adds the world's own controls below /_sim/.
func (w *World) control(mux *http.ServeMux) {}
