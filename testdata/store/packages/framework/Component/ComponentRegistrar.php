<?php

declare(strict_types=1);

namespace Magento\Framework\Component;

/** Stand-in: where each module, theme, library and language pack lives. Called from every registration.php. */
final class ComponentRegistrar
{
    public const MODULE = 'module';
    public const LIBRARY = 'library';
    public const THEME = 'theme';
    public const LANGUAGE = 'language';

    /** @var array<string, array<string, string>> */
    private static array $paths = [];

    public static function register(string $type, string $name, string $path): void
    {
        if (isset(self::$paths[$type][$name]) && self::$paths[$type][$name] !== $path) {
            throw new \LogicException(sprintf(
                "%s '%s' from '%s' has been already defined in '%s'.",
                ucfirst($type),
                $name,
                $path,
                self::$paths[$type][$name]
            ));
        }
        self::$paths[$type][$name] = $path;
    }

    /** @return array<string, string> name => directory */
    public function getPaths(string $type): array
    {
        return self::paths($type);
    }

    /** @return array<string, string> name => directory, sorted by name */
    public static function paths(string $type): array
    {
        $paths = self::$paths[$type] ?? [];
        ksort($paths);
        return $paths;
    }
}
