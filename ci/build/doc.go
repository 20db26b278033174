// Package build describes how a Magento store becomes two images: the steps of
// a build, what each reads, runs and leaves, and what the images consist of.
//
// Everything here is a value. A [Plan] can be printed, compared and tested, and
// it is run unchanged by two shells: package host runs it on this machine, the
// Dagger module runs each step in a container. Facts about Magento's commands
// (what needs a database, what is deterministic, what may run side by side) were
// measured on Magento 2.4.7-p3 with PHP 8.2.
package build
