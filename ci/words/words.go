// Package words writes what several packages say to people in the same words.
package words

import "fmt"

// Plural counts things in words: "1 service", "2 services".
func Plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
