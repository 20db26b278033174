package build

import (
	"encoding/json"
	"errors"
	"strings"
)

// MagentoRepository is Adobe's composer repository, which answers only to keys.
const MagentoRepository = "repo.magento.com"

// ComposerAuth puts composer's credentials together, as COMPOSER_AUTH's content:
// the first of auths that is not empty (each is an auth.json's content), to which
// Magento's keys, where given, are added for repo.magento.com. It is empty where
// there are none. Errors never repeat a credential.
func ComposerAuth(publicKey, privateKey string, auths ...string) (string, error) {
	sections := map[string]map[string]any{}
	for _, a := range auths {
		if strings.TrimSpace(a) == "" {
			continue
		}
		if json.Unmarshal([]byte(a), &sections) != nil {
			return "", errors.New(`composer's credentials are not the JSON of an auth.json: {"http-basic": {"repo.magento.com": {"username": "PUBLIC KEY", "password": "PRIVATE KEY"}}}`)
		}
		break
	}
	switch {
	case publicKey != "" && privateKey != "":
		if sections["http-basic"] == nil {
			sections["http-basic"] = map[string]any{}
		}
		sections["http-basic"][MagentoRepository] = map[string]string{"username": publicKey, "password": privateKey}
	case publicKey != "" || privateKey != "":
		return "", errors.New("of Magento's two keys only one is given: set MAGENTO_PUBLIC_KEY and MAGENTO_PRIVATE_KEY, or neither")
	}
	if len(sections) == 0 {
		return "", nil
	}
	raw, err := json.Marshal(sections)
	return string(raw), err
}
