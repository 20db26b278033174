<?php

declare(strict_types=1);

namespace Magento\Framework\Code;

/** What di.xml files say: preferences, arguments and plugins; a later file wins. */
final class DiConfig
{
    /** @var array<string, string> */
    public array $preferences = [];

    /** @var array<string, array<string, array>> */
    public array $arguments = [];

    /** @var array<string, array<string, array{class: string, order: int}>> */
    public array $plugins = [];

    public function read(string $file): void
    {
        $before = libxml_use_internal_errors(true);
        $xml = simplexml_load_file($file);
        if ($xml === false) {
            $error = libxml_get_last_error();
            throw new \RuntimeException(sprintf('Invalid XML in %s on line %d: %s', $file, $error->line, trim($error->message)));
        }
        libxml_use_internal_errors($before);
        foreach ($xml->preference as $preference) {
            $this->preferences[(string) $preference['for']] = (string) $preference['type'];
        }
        foreach ($xml->type as $type) {
            $name = (string) $type['name'];
            foreach ($type->arguments->argument ?? [] as $argument) {
                $this->arguments[$name][(string) $argument['name']] = $this->argument($argument);
            }
            foreach ($type->plugin as $plugin) {
                $key = (string) $plugin['name'];
                if ((string) $plugin['disabled'] === 'true') {
                    unset($this->plugins[$name][$key]);
                    continue;
                }
                $this->plugins[$name][$key] = ['class' => (string) $plugin['type'], 'order' => (int) $plugin['sortOrder']];
            }
        }
    }

    /** @return string[] classes of the plugins of a type, in the order they run */
    public function pluginsOf(string $type): array
    {
        $plugins = $this->plugins[$type] ?? [];
        uksort($plugins, fn(string $a, string $b): int => [$plugins[$a]['order'], $a] <=> [$plugins[$b]['order'], $b]);
        return array_column($plugins, 'class');
    }

    private function argument(\SimpleXMLElement $argument): array
    {
        $type = (string) $argument->attributes('xsi', true)['type'];
        $text = trim((string) $argument);
        return match ($type) {
            'object' => ['instance' => $text],
            'number' => ['value' => $text + 0],
            'boolean' => ['value' => $text === 'true'],
            'null' => ['value' => null],
            'array' => ['value' => $this->items($argument)],
            default => ['value' => $text],
        };
    }

    private function items(\SimpleXMLElement $argument): array
    {
        $items = [];
        foreach ($argument->item as $item) {
            $items[(string) $item['name']] = $this->argument($item)['value'] ?? null;
        }
        return $items;
    }
}
