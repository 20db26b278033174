<?php

declare(strict_types=1);

namespace Magento\Framework\Code;

/** Finds the classes of a module by reading its files. */
final class ClassScanner
{
    /** @return string[] class names in the order of their files' names */
    public function scan(string $directory): array
    {
        $classes = [];
        foreach ($this->files($directory) as $file) {
            array_push($classes, ...$this->classes($file));
        }
        return $classes;
    }

    /** @return string[] */
    private function files(string $directory): array
    {
        $skipTests = static fn(\SplFileInfo $f): bool => !in_array($f->getFilename(), ['Test', 'tests'], true);
        $iterator = new \RecursiveIteratorIterator(new \RecursiveCallbackFilterIterator(
            new \RecursiveDirectoryIterator($directory, \FilesystemIterator::SKIP_DOTS),
            $skipTests
        ));
        $files = [];
        foreach ($iterator as $file) {
            if ($file->getExtension() === 'php' && $file->getFilename() !== 'registration.php') {
                $files[] = $file->getPathname();
            }
        }
        sort($files);
        return $files;
    }

    /** @return string[] */
    private function classes(string $file): array
    {
        try {
            $tokens = \PhpToken::tokenize(file_get_contents($file), TOKEN_PARSE);
        } catch (\ParseError $e) {
            throw new \RuntimeException(sprintf('PHP Parse error:  %s in %s on line %d', $e->getMessage(), $file, $e->getLine()));
        }
        $tokens = array_values(array_filter($tokens, static fn(\PhpToken $t): bool => !$t->isIgnorable()));
        $namespace = '';
        $classes = [];
        foreach ($tokens as $i => $token) {
            if ($token->is(T_NAMESPACE)) {
                $namespace = $tokens[$i + 1]->text . '\\';
            }
            $declares = $token->is([T_CLASS, T_INTERFACE]) && $tokens[$i + 1]->is(T_STRING);
            if ($declares && !$tokens[$i - 1]->is([T_NEW, T_DOUBLE_COLON])) {
                $classes[] = $namespace . $tokens[$i + 1]->text;
            }
        }
        return $classes;
    }
}
