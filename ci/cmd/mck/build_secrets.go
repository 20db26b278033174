package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/magecloudkit/pipeline/ci/build"
	"github.com/magecloudkit/pipeline/ci/config"
	"github.com/magecloudkit/pipeline/ci/verbs"
)

// secrets are composer's credentials: COMPOSER_AUTH, Magento's keys, or the
// store's own auth.json, in this order.
func (b *builder) secrets() (map[string]string, error) {
	get := func(name string) string { v, _ := b.lookup(name); return v }
	file, err := os.ReadFile(filepath.Join(b.Source, "auth.json"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("reading the store's auth.json: %w", err)
	}
	auth, err := build.ComposerAuth(get("MAGENTO_PUBLIC_KEY"), get("MAGENTO_PRIVATE_KEY"), get("COMPOSER_AUTH"), string(file))
	if err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return map[string]string{"COMPOSER_AUTH": auth}, nil
}

// known are all values of which this program knows that they are secrets: those that it can be given, and composer's own
// credentials, of the store and of its user's home. No image may have one.
func (b *builder) known() (map[string]string, error) {
	out, err := b.secrets()
	if err != nil {
		return nil, err
	}
	for _, v := range verbs.All() {
		for _, s := range config.Settings(v.Settings) {
			for _, name := range s.Names() {
				if value, ok := b.lookup(name); ok && s.Secret {
					out[name] = value
				}
			}
		}
	}
	places := map[string]string{"the store's auth.json": b.Source}
	if home, ok := b.lookup("COMPOSER_HOME"); ok && home != "" {
		places["COMPOSER_HOME's auth.json"] = home
	} else if home, ok := b.lookup("HOME"); ok && home != "" {
		places["~/.config/composer/auth.json"] = filepath.Join(home, ".config", "composer")
		places["~/.composer/auth.json"] = filepath.Join(home, ".composer")
	}
	for name, dir := range places {
		raw, err := os.ReadFile(filepath.Join(dir, "auth.json"))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		out[name] = string(raw)
	}
	return out, nil
}
