package build

import (
	"encoding/json"
	"errors"
	"strings"

	"github.com/magecloudkit/pipeline/ci/store"
)

// MagentoRepository is Adobe's composer repository, which answers only to keys.
const MagentoRepository = "repo.magento.com"

// byHost reports whether the members that hold credentials are what composer takes:
// objects with a host a member. PHP writes an empty one as a list.
func byHost(sections map[string]any) bool {
	for _, name := range store.AuthSections() {
		switch v := sections[name].(type) {
		case nil, map[string]any:
		case []any:
			if len(v) > 0 {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// ComposerAuth puts composer's credentials together, as COMPOSER_AUTH's content:
// the first of auths that is not empty (each is an auth.json's content), to which
// Magento's keys, where given, are added for repo.magento.com. It is empty where
// there are none. Errors never repeat a credential.
func ComposerAuth(publicKey, privateKey string, auths ...string) (string, error) {
	sections := map[string]any{} // most are objects by host; gitlab-domains and others are lists
	for _, a := range auths {
		if strings.TrimSpace(a) == "" {
			continue
		}
		if json.Unmarshal([]byte(a), &sections) != nil || !byHost(sections) {
			return "", errors.New(`composer's credentials are not the JSON of an auth.json: {"http-basic": {"repo.magento.com": {"username": "PUBLIC KEY", "password": "PRIVATE KEY"}}}`)
		}
		break
	}
	switch {
	case publicKey != "" && privateKey != "":
		basic, _ := sections["http-basic"].(map[string]any) // PHP writes an empty one as a list
		if basic == nil {
			basic = map[string]any{}
			sections["http-basic"] = basic
		}
		basic[MagentoRepository] = map[string]string{"username": publicKey, "password": privateKey}
	case publicKey != "" || privateKey != "":
		return "", errors.New("of Magento's two keys only one is given: set MAGENTO_PUBLIC_KEY and MAGENTO_PRIVATE_KEY, or neither")
	}
	if len(sections) == 0 {
		return "", nil
	}
	raw, err := json.Marshal(sections)
	return string(raw), err
}
