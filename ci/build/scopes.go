package build

import (
	_ "embed"
	"maps"
)

// scopes gives the config.php of the step that deploys static content a website
// and a store view, where it has none.
//
//go:embed scopes.php
var scopes string

const scopesScript = "var/magecloudkit-scopes.php"

// supplyScopes has a step run with the scopes that the store leaves to its
// database. The step packs nothing of app/etc, so they reach no image.
func (st *Step) supplyScopes() {
	write := map[string]string{scopesScript: scopes}
	maps.Copy(write, st.Write)
	st.Write = write
	st.Commands = append([]Command{{Args: []string{"php", scopesScript}}}, st.Commands...)
}
