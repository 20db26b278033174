<?php

declare(strict_types=1);

namespace Magento\Framework\App;

use Magento\Framework\Component\ComponentRegistrar;

/** Stand-in: a module's template, or with dev/template/minify_html in production what its minified copy is. */
final class Template
{
    public function __construct(private string $root, private DeploymentConfig $config)
    {
    }

    /** @param array<string, string> $variables */
    public function render(string $module, string $template, array $variables): string
    {
        $file = ComponentRegistrar::paths(ComponentRegistrar::MODULE)[$module] . "/view/frontend/templates/$template";
        if ($this->config->get('system/default/dev/template/minify_html')) {
            // As in Magento: production mode makes none.
            $file = self::minified($this->root, $file);
        }
        if (!is_file($file)) {
            throw new \RuntimeException("Invalid template file: '$file'");
        }
        extract($variables);
        ob_start();
        include $file;
        return (string) ob_get_clean();
    }

    public static function minified(string $root, string $file): string
    {
        return $root . '/var/view_preprocessed/' . ltrim(substr($file, strlen($root)), '/');
    }

    /** Minifies the templates of all modules; static content is deployed with it. */
    public static function minifyAll(string $root): void
    {
        foreach (ComponentRegistrar::paths(ComponentRegistrar::MODULE) as $directory) {
            foreach (glob("$directory/view/*/templates/*.phtml") ?: [] as $file) {
                Export::write(self::minified($root, $file), preg_replace('/>\s+</', '><', file_get_contents($file)));
            }
        }
    }
}
