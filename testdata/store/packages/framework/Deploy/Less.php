<?php

declare(strict_types=1);

namespace Magento\Framework\Deploy;

/** The part of LESS that the sample's sheets use: imports, Magento's imports over modules, and variables. */
final class Less
{
    /** @param array<string, string> $files what a theme sees: path => file */
    public function __construct(private array $files)
    {
    }

    /** @return string the sheet at $path with everything imported, before variables are put in */
    public function flatten(string $path): string
    {
        $source = preg_replace_callback(
            '~^//@magento_import \'([^\']+)\';$~m',
            fn(array $m): string => $this->moduleImports($m[1]),
            file_get_contents($this->files[$path])
        );
        return preg_replace_callback(
            "~^@import '([^']+)';$~m",
            fn(array $m): string => $this->flatten($this->resolve($m[1], $path)),
            $source
        );
    }

    /** @return string CSS */
    public function compile(string $path): string
    {
        $source = preg_replace('~^\s*//.*\n~m', '', $this->flatten($path));
        preg_match_all('~^@([\w-]+):\s*(.+);\s*$~m', $source, $matches);
        $variables = array_combine($matches[1], $matches[2]);
        $css = preg_replace('~^@[\w-]+:.*;\s*\n~m', '', $source);
        return ltrim($this->substitute($css, $variables, $path));
    }

    private function substitute(string $text, array $variables, string $path): string
    {
        return preg_replace_callback('~@(?!media|import|font-face|charset|keyframes)([\w-]+)~', function (array $m) use ($variables, $path): string {
            if (!isset($variables[$m[1]])) {
                throw new \RuntimeException("Compilation from source: $path\nvariable @{$m[1]} is undefined in file {$this->files[$path]}");
            }
            return $this->substitute($variables[$m[1]], $variables, $path);
        }, $text);
    }

    private function moduleImports(string $name): string
    {
        $imports = [];
        foreach (array_keys($this->files) as $path) {
            if (preg_match('~^[A-Z]\w+_\w+/css/' . preg_quote($name) . '$~', $path)) {
                $imports[] = "@import '/$path';";
            }
        }
        return implode("\n", $imports);
    }

    private function resolve(string $import, string $from): string
    {
        $path = str_starts_with($import, '/') ? substr($import, 1) : dirname($from) . '/' . $import;
        if (!isset($this->files[$path])) {
            throw new \RuntimeException("'$import' wasn't found, imported by {$this->files[$from]}");
        }
        return $path;
    }
}
