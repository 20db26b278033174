<?php

declare(strict_types=1);

namespace Magento\Framework\App;

/** Writes values as PHP, the same bytes for the same value. */
final class Export
{
    public static function php(mixed $value, string $indent = ''): string
    {
        if (!is_array($value)) {
            return $value === null ? 'null' : var_export($value, true);
        }
        if ($value === []) {
            return '[]';
        }
        $inner = $indent . '    ';
        $lines = [];
        foreach ($value as $key => $item) {
            $lines[] = $inner . (array_is_list($value) ? '' : var_export($key, true) . ' => ') . self::php($item, $inner);
        }
        return "[\n" . implode(",\n", $lines) . "\n$indent]";
    }

    /** Writes a file and the directories above it. */
    public static function write(string $path, string $content): void
    {
        if (!is_dir(dirname($path)) && !@mkdir(dirname($path), 0777, true) && !is_dir(dirname($path))) {
            throw new \RuntimeException('The directory "' . dirname($path) . '" cannot be created: is its parent writable?');
        }
        if (@file_put_contents($path, $content) === false) {
            throw new \RuntimeException("The file \"$path\" cannot be written.");
        }
    }
}
