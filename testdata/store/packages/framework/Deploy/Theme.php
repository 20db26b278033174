<?php

declare(strict_types=1);

namespace Magento\Framework\Deploy;

use Magento\Framework\Component\ComponentRegistrar;

/** A theme: its area, its code and the themes it inherits from. */
final class Theme
{
    private function __construct(
        public readonly string $area,
        public readonly string $code,
        public readonly string $directory,
        public readonly ?Theme $parent
    ) {
    }

    /** @return array<string, Theme> all registered themes by "area/Vendor/name" */
    public static function all(): array
    {
        $themes = [];
        foreach (array_keys(ComponentRegistrar::paths(ComponentRegistrar::THEME)) as $name) {
            $themes[$name] = self::load($name);
        }
        return $themes;
    }

    /** @return Theme[] the root of the inheritance first, this theme last */
    public function lineage(): array
    {
        return [...$this->parent?->lineage() ?? [], $this];
    }

    private static function load(string $name): self
    {
        $directory = ComponentRegistrar::paths(ComponentRegistrar::THEME)[$name]
            ?? throw new \RuntimeException("The theme $name is not registered");
        [$area, $code] = explode('/', $name, 2);
        $parent = (string) simplexml_load_file("$directory/theme.xml")->parent;
        return new self($area, $code, $directory, $parent === '' ? null : self::load("$area/$parent"));
    }
}
