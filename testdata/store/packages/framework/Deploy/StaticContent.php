<?php

declare(strict_types=1);

namespace Magento\Framework\Deploy;

use Magento\Framework\App\DeploymentConfig;
use Magento\Framework\App\Export;
use Magento\Framework\App\Template;
use Magento\Framework\Module\Modules;

/** Stand-in for setup:static-content:deploy: every chosen theme in every chosen locale. */
final class StaticContent
{
    public function __construct(private string $root, private DeploymentConfig $config, private Modules $modules)
    {
    }

    /**
     * @param array{areas: string[], themes: string[], locales: string[], parents: bool, bundle: bool} $choice
     * @param callable(string): void $progress is told each theme's locale when it begins, and each of its files
     */
    public function deploy(array $choice, callable $progress): void
    {
        $modules = $this->modules->enabled();
        $minify = (bool) $this->setting('dev/css/minify_files');
        if ($this->setting('dev/template/minify_html')) {
            Template::minifyAll($this->root);
        }
        foreach ($this->themes($choice) as $theme) {
            foreach ($choice['locales'] ?: $this->usedLocales($theme->area) as $locale) {
                $package = new Package($this->root, $theme, $locale, $modules, $minify, $choice['bundle']);
                $progress("Execute: $package->path");
                $package->deploy($progress);
                if (isset($modules['Magento_Csp'])) {
                    $this->addIntegrity($theme->area, $package->integrity());
                }
            }
        }
    }

    /** @return Theme[] with the themes they inherit from, unless the choice leaves parents out */
    private function themes(array $choice): array
    {
        $all = Theme::all();
        $codes = array_map(static fn(Theme $t): string => $t->code, $all);
        foreach (array_diff($choice['themes'], $codes) as $unknown) {
            throw new \RuntimeException("The theme $unknown is not registered, or not in the areas " . implode(', ', $choice['areas']));
        }
        $chosen = [];
        foreach ($all as $name => $theme) {
            $wanted = $choice['themes'] === [] || in_array($theme->code, $choice['themes'], true);
            if (!$wanted || !in_array($theme->area, $choice['areas'], true)) {
                continue;
            }
            foreach ($choice['parents'] ? $theme->lineage() : [$theme] as $member) {
                $chosen["$member->area/$member->code"] = $member;
            }
        }
        ksort($chosen);
        return $chosen;
    }

    /** @return string[] the locales that the store views (frontend) or the admin use */
    private function usedLocales(string $area): array
    {
        if ($area === 'adminhtml') {
            return array_values(array_unique(['en_US', ...$this->config->get('admin_locales_for_deploy') ?? []]));
        }
        $system = $this->config->get('system') ?? [];
        $locales = [(string) ($this->setting('general/locale/code') ?? 'en_US')];
        foreach ([...array_values($system['websites'] ?? []), ...array_values($system['stores'] ?? [])] as $scope) {
            $locales[] = $scope['general']['locale']['code'] ?? $locales[0];
        }
        return array_values(array_unique($locales));
    }

    /** @return mixed a default-scope setting: CONFIG__DEFAULT__… of the environment wins over config.php */
    private function setting(string $path): mixed
    {
        $value = getenv('CONFIG__DEFAULT__' . strtoupper(str_replace('/', '__', $path)));
        return $value !== false ? $value : $this->config->get("system/default/$path");
    }

    /** @param array<string, string> $hashes */
    private function addIntegrity(string $area, array $hashes): void
    {
        $file = "$this->root/pub/static/$area/sri-hashes.json";
        $known = file_exists($file) ? json_decode(file_get_contents($file), true) : [];
        Export::write($file, json_encode(array_replace($known, $hashes)));
    }
}
