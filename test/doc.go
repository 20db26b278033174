// Package test tests the pipeline end to end on a real Dagger engine: through the
// SDK, as other modules and programs call it, and through the dagger command line,
// as people and CI machines do. It is a Go module of its own, so that the module
// at the root needs nothing of dagger.io/dagger.
//
// Where no engine answers, it says so in one line and passes: `make e2e`.
//
// Settings, all from the environment:
//
//	MCK_E2E_PHP_IMAGE       image with the PHP that builds (--php-image); default: what the store asks for
//	MCK_E2E_BARE_PHP_IMAGE  an official php image, or another that lacks bcmath and soap and has docker-php-ext-install;
//	                        without it nothing is tested about adding extensions
//	MCK_E2E_STORE           directory with a real store to build instead of testdata/store
//	MCK_E2E_LOCALES         its locales, separated by commas; default: those that it uses
//
// Comparisons with mck on this machine need php on the PATH.
package test
