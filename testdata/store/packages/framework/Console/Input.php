<?php

declare(strict_types=1);

namespace Magento\Framework\Console;

/** The arguments and options after a command's name. */
final class Input
{
    /** @var string[] */
    public array $arguments = [];

    /** @var array<string, string[]> values of the options that were given; a flag has [""] */
    private array $options = [];

    private const GLOBAL_FLAGS = ['no-interaction', 'quiet', 'verbose', 'ansi', 'no-ansi'];
    private const GLOBAL_SHORT = ['n' => 'no-interaction', 'q' => 'quiet', 'v' => 'verbose'];

    /**
     * @param string[] $flags options without a value
     * @param string[] $valued options with a value
     * @param array<string, string> $short letter => option
     */
    public function __construct(array $words, array $flags = [], array $valued = [], array $short = [])
    {
        $flags = [...$flags, ...self::GLOBAL_FLAGS];
        $short += self::GLOBAL_SHORT;
        while ($words !== []) {
            $word = array_shift($words);
            if (!str_starts_with($word, '-') || $word === '-') {
                $this->arguments[] = $word;
                continue;
            }
            if (str_starts_with($word, '--')) {
                [$name, $value] = array_pad(explode('=', substr($word, 2), 2), 2, null);
            } else {
                $name = $short[$word[1]] ?? throw new InvalidInput("The \"$word\" option does not exist.");
                $value = strlen($word) > 2 && in_array($name, $valued, true) ? ltrim(substr($word, 2), '=') : null;
            }
            if (in_array($name, $valued, true)) {
                $this->options[$name][] = $value ?? array_shift($words) ?? throw new InvalidInput("The \"--$name\" option requires a value.");
            } elseif (in_array($name, $flags, true)) {
                $this->options[$name] = [''];
            } else {
                throw new InvalidInput("The \"--$name\" option does not exist.");
            }
        }
    }

    public function has(string $option): bool
    {
        return isset($this->options[$option]);
    }

    public function value(string $option): ?string
    {
        return $this->options[$option][0] ?? null;
    }

    /** @return string[] */
    public function values(string $option): array
    {
        return array_values(array_diff($this->options[$option] ?? [], ['all', 'none']));
    }
}
