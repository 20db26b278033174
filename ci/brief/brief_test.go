package brief_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/magecloudkit/pipeline/ci/brief"
)

// clock is a time that the test moves.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

// filtered is what is shown of an output whose lines come a tenth of a second
// apart.
func filtered(t *testing.T, output string) []string {
	t.Helper()
	c := &clock{at: time.Unix(1000, 0)}
	var shown []string
	f := brief.New(func(line string) { shown = append(shown, line) }, c.now)
	for line := range strings.Lines(output) {
		if n, err := f.Write([]byte(line)); err != nil || n != len(line) {
			t.Fatalf("Write: %d, %v", n, err)
		}
		c.at = c.at.Add(100 * time.Millisecond)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return shown
}

func recorded(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Of what Magento 2.4.7 and composer printed with no terminal; the middle of long
// runs of the same is cut out.
func TestRecordedOutput(t *testing.T) {
	frames := []string{
		"Stack trace:",
		`#0 /store/vendor/magento/module-store/Model/StoreResolver/Website.php(49): Magento\Store\Model\WebsiteRepository->getDefault()`,
		`#1 /store/vendor/magento/module-store/Model/StoresData.php(67): Magento\Store\Model\StoreResolver\Website->getAllowedStoreIds()`,
		`#2 /store/vendor/magento/module-store/Model/StoreResolver.php(138): Magento\Store\Model\StoresData->getStoresData()`,
	}
	unmade := func(file string) []string {
		return append([]string{
			"Compilation from source " + file + " failed",
			"DomainException: The default website isn't defined. Set the website and try again. in /store/vendor/magento/module-store/Model/WebsiteRepository.php:159",
		}, frames...)
	}
	for name, want := range map[string][]string{
		"static.txt": {
			"Deploy using quick strategy",
			"frontend/Magento/blank en_US  14 files  2.4 s",
			"adminhtml/Magento/backend en_US  10 files  2.2 s",
			"frontend/Magento/blank de_DE  12 files  2.9 s",
			"frontend/Magento/blank fr_FR  12 files  3.4 s",
			"adminhtml/Magento/backend de_DE  21 files  7.3 s",
			"adminhtml/Magento/backend fr_FR  8 files  2.8 s",
			"frontend/Magento/luma en_US  12 files  4.9 s",
			"frontend/Magento/luma de_DE  11 files  5.3 s",
			"frontend/Magento/luma fr_FR  9 files  5.8 s",
		},
		"static-failed.txt": { // a style sheet that cannot be compiled
			"Deploy using quick strategy",
			"Compilation from source: /store/vendor/magento/theme-frontend-blank/web/css/styles-l.less",
			"ParseError: missing closing `}` in _extend.less on line 1, column 3",
			"1| .a { .b();",
			"2|",
			"frontend/Acme/shop en_US  stopped after 8 files  1.9 s",
			`Error happened during deploy process: Magento\Framework\Exception\LocalizedException::__construct(): Argument #1 ($phrase) must be of type Magento\Framework\Phrase, string given, called in /store/vendor/magento/module-deploy/Service/DeployPackage.php on line 142`,
		},
		"static-no-website.txt": slices.Concat( // what is wrong with one file is wrong with all of them
			[]string{"Deploy using quick strategy"},
			unmade("/store/lib/web/moment-timezone-with-data.js"),
			unmade("/store/lib/web/underscore.js"),
			unmade("/store/lib/web/spacer.gif"),
			[]string{
				"and 2 more could not be made",
				"frontend/Magento/luma en_US  stopped after 6 files  22.5 s",
				"Error happened during deploy process: The default website isn't defined. Set the website and try again.",
			},
		),
		"compile.txt": {
			"Proxies code generation  0.1 s",
			"Repositories code generation  0.2 s",
			"Service data attributes generation  0.2 s",
			"Application code generator  0.2 s",
			"Interceptors generation  0.2 s",
			"Area configuration aggregation  0.2 s",
			"Interception cache generation  0.2 s",
			"App action list generation  0.2 s",
			"Plugin list generation  0.1 s",
			"Generated code and dependency injection configuration successfully.",
		},
		"compile-failed.txt": { // a constructor that asks for a class that is not there
			"Proxies code generation  0.1 s",
			"Repositories code generation  0.2 s",
			"Service data attributes generation  0.2 s",
			"Application code generator  0.2 s",
			"Interceptors generation  0.2 s",
			"In ClassReader.php line 57:",
			`  Impossible to process constructor argument Parameter #0 [ <required> Acme\M`,
			`  issing\Bar $bar ] of Acme\Bad\Model\Foo class`,
			"In GetParameterClassTrait.php line 41:",
			`  Class "Acme\Missing\Bar" does not exist`,
			"setup:di:compile",
			"Area configuration aggregation  not finished",
		},
		"composer.txt": {
			"Installing dependencies from lock file",
			"Verifying lock file contents can be installed on current platform.",
			"Package operations: 537 installs, 0 updates, 0 removals",
			"15 packages installed  2.1 s",
			"13 packages abandoned: `composer audit` lists them",
			"Generating optimized autoload files",
		},
	} {
		t.Run(name, func(t *testing.T) { shows(t, recorded(t, name), want...) })
	}
}

func shows(t *testing.T, output string, want ...string) {
	t.Helper()
	if got := filtered(t, output); !slices.Equal(got, want) {
		t.Errorf("shown:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A command that is killed leaves what it was at.
func TestUnfinished(t *testing.T) {
	shows(t, "Execute: frontend/Acme/shop/en_US\nProcessing file '/store/a.js'  for area 'base'\nProcessing file '/store/b.js'  for area 'base'\n",
		"frontend/Acme/shop en_US  stopped after 2 files  0.3 s, at /store/b.js")
	shows(t, "  - Downloading acme/a (1.0)\n  - Downloading acme/b (1.0)\n  - Installing acme/a (1.0): Extracting archive\n",
		"2 packages downloaded  0.2 s", "1 package installed  0.1 s, the last acme/a")
	shows(t, "PHP Fatal error:  Allowed memory size of 2147483648 bytes exhausted", "PHP Fatal error:  Allowed memory size of 2147483648 bytes exhausted")
}

// What no rule knows passes, such as the lines of a plugin among composer's own.
func TestOtherLines(t *testing.T) {
	shows(t, "  - Installing acme/a (1.0): Extracting archive\n  - Applying patches for acme/a\n    fix.patch (a fix)\n  - Installing acme/b (1.0): Extracting archive\nWarning: something\n",
		"1 package installed  0.1 s", "  - Applying patches for acme/a", "    fix.patch (a fix)", "1 package installed  0.1 s", "Warning: something")
	shows(t, "The following modules have been enabled:\n- Acme_One\n- Acme_Two\n\nCache cleared successfully.\n",
		"The following modules have been enabled:", "2 modules", "Cache cleared successfully.")
	shows(t, "10%\r50%\r\x1b[32m100%\x1b[0m\r\ndone [5] [x]\n", "100%", "done [5] [x]")
	shows(t, "RuntimeException\n  at one\n  at two\n  at three\n  at four\nend\n  at one\n", "RuntimeException", "  at one", "  at two", "  at three", "end", "  at one")
}

// Where a write begins and ends changes nothing.
func TestWritesOfAnySize(t *testing.T) {
	output := recorded(t, "static.txt")
	want := filtered(t, output)
	for _, size := range []int{1, 7, 4096} {
		var got []string
		c := &clock{at: time.Unix(1000, 0)}
		f := brief.New(func(line string) { got = append(got, line) }, c.now)
		for part := range slices.Chunk([]byte(output), size) {
			if _, err := f.Write(part); err != nil {
				t.Fatal(err)
			}
			c.at = c.at.Add(time.Duration(strings.Count(string(part), "\n")) * 100 * time.Millisecond)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		if size < 4096 && !slices.Equal(got, want) || len(got) != len(want) {
			t.Errorf("written %d bytes at a time, it shows:\n%s", size, strings.Join(got, "\n"))
		}
	}
}
