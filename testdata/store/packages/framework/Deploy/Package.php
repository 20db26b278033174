<?php

declare(strict_types=1);

namespace Magento\Framework\Deploy;

use Magento\Framework\App\Export;
use Magento\Framework\Component\ComponentRegistrar;

/** The static files of one theme in one locale: pub/static/<area>/<Vendor>/<theme>/<locale>. */
final class Package
{
    public readonly string $path;

    /** @var array<string, string> path in the package => source file */
    private array $files;

    /** @param array<string, string> $modules enabled modules => directory, in their order */
    public function __construct(
        private string $root,
        private Theme $theme,
        private string $locale,
        private array $modules,
        private bool $minifyCss,
        private bool $bundle
    ) {
        $this->path = "$theme->area/$theme->code/$locale";
        $this->files = $this->collect();
    }

    /** @param callable(string): void $progress */
    public function deploy(callable $progress): void
    {
        foreach ($this->content() as $name => $content) {
            $progress("Processing file '$name'");
            $target = "$this->root/pub/static/$this->path/$name";
            if (!file_exists($target)) {
                Export::write($target, $content);
            }
        }
    }

    /** @return array<string, string> "area/…/file.js" => its subresource integrity */
    public function integrity(): array
    {
        $hashes = [];
        foreach ($this->content() as $name => $content) {
            if (str_ends_with($name, '.js')) {
                $hashes["$this->path/$name"] = 'sha256-' . base64_encode(hash('sha256', $content, true));
            }
        }
        return $hashes;
    }

    /** @return \Generator<string, string> */
    private function content(): \Generator
    {
        $less = new Less($this->files);
        $scripts = [];
        foreach ($this->files as $name => $file) {
            if (str_ends_with($name, '.less')) {
                if (!str_starts_with(basename($name), '_')) {
                    Export::write("$this->root/var/view_preprocessed/pub/static/$this->path/$name", $less->flatten($name));
                    yield $this->cssName($name) => $this->css($less->compile($name));
                }
                continue;
            }
            $content = file_get_contents($file);
            if (str_ends_with($name, '.js')) {
                $scripts[$name] = $content;
            }
            yield $name => $content;
        }
        yield 'requirejs-config.js' => $this->requireConfig();
        yield 'js-translation.json' => $this->translations($scripts);
        if ($this->bundle) {
            yield 'js/bundle/bundle0.js' => '// bundled at ' . microtime(true) . "\n" . implode("\n", $scripts);
        }
    }

    private function cssName(string $less): string
    {
        return substr($less, 0, -strlen('.less')) . ($this->minifyCss ? '.min.css' : '.css');
    }

    private function css(string $css): string
    {
        return $this->minifyCss ? preg_replace('~\s+~', ' ', $css) : $css;
    }

    private function collect(): array
    {
        $files = $this->tree($this->root . '/lib/web', '');
        foreach ($this->modules as $module => $directory) {
            foreach (['base', $this->theme->area] as $area) {
                $files = array_replace($files, $this->tree("$directory/view/$area/web", "$module/"));
            }
        }
        foreach ($this->theme->lineage() as $theme) {
            $files = array_replace($files, $this->tree("$theme->directory/web", ''));
            foreach (array_keys($this->modules) as $module) {
                $files = array_replace($files, $this->tree("$theme->directory/$module/web", "$module/"));
            }
        }
        $translated = [];
        foreach ($files as $name => $file) {
            if (preg_match('~^((?:[A-Z]\w+_\w+/)?)i18n/([a-z]{2}_[A-Z]{2})/(.+)$~', $name, $m)) {
                unset($files[$name]);
                if ($m[2] === $this->locale) {
                    $translated[$m[1] . $m[3]] = $file;
                }
            }
        }
        $files = array_replace($files, $translated);
        ksort($files);
        return $files;
    }

    /** @return array<string, string> */
    private function tree(string $directory, string $prefix): array
    {
        if (!is_dir($directory)) {
            return [];
        }
        $files = [];
        $iterator = new \RecursiveIteratorIterator(new \RecursiveDirectoryIterator($directory, \FilesystemIterator::SKIP_DOTS));
        foreach ($iterator as $file) {
            $files[$prefix . substr($file->getPathname(), strlen($directory) + 1)] = $file->getPathname();
        }
        return $files;
    }

    private function requireConfig(): string
    {
        $directories = [];
        foreach ($this->modules as $directory) {
            array_push($directories, "$directory/view/base", "$directory/view/{$this->theme->area}");
        }
        foreach ($this->theme->lineage() as $theme) {
            $directories[] = $theme->directory;
        }
        $parts = [];
        foreach ($directories as $directory) {
            if (file_exists("$directory/requirejs-config.js")) {
                $parts[] = "(function () {\n" . file_get_contents("$directory/requirejs-config.js") . "require.config(config);\n}());\n";
            }
        }
        return "(function (require) {\n" . implode('', $parts) . "}(require));\n";
    }

    /** @param array<string, string> $scripts */
    private function translations(array $scripts): string
    {
        $dictionary = $this->dictionary();
        $found = [];
        foreach ($scripts as $script) {
            preg_match_all('~\$t\(\'([^\']+)\'\)~', $script, $matches);
            foreach ($matches[1] as $phrase) {
                if (isset($dictionary[$phrase]) && $dictionary[$phrase] !== $phrase) {
                    $found[$phrase] = $dictionary[$phrase];
                }
            }
        }
        ksort($found);
        return json_encode((object) $found, JSON_UNESCAPED_UNICODE);
    }

    /** @return array<string, string> modules first, then language packs, then themes: the last one wins */
    private function dictionary(): array
    {
        $files = [];
        foreach ($this->modules as $directory) {
            $files[] = "$directory/i18n/$this->locale.csv";
        }
        foreach (ComponentRegistrar::paths(ComponentRegistrar::LANGUAGE) as $directory) {
            $files[] = "$directory/$this->locale.csv";
        }
        foreach ($this->theme->lineage() as $theme) {
            $files[] = "$theme->directory/i18n/$this->locale.csv";
        }
        $dictionary = [];
        foreach (array_filter($files, file_exists(...)) as $file) {
            $handle = fopen($file, 'r');
            while (($row = fgetcsv($handle, null, ',', '"', '')) !== false) {
                if (count($row) >= 2) {
                    $dictionary[$row[0]] = $row[1];
                }
            }
            fclose($handle);
        }
        return $dictionary;
    }
}
