<?php
/**
 * Runs at the end of a build's compilation, in the installed store, and writes down what the image's env.php cannot know
 * by itself: generated/magecloudkit.php.
 *
 * cache_types   every cache that a module declares in its etc/cache.xml. What env.php does not list is off, silently.
 * cache_backend the name of the Redis backend: what Magento\Framework\Cache\Frontend\Adapter\SymfonyAdapterProvider knows
 *               (Magento 2.4.9, Mage-OS 3), where it is there; it takes any other name for files.
 * system        settings that only a build can honour, as this one did: the default, and every website and store view that
 *               config.php knows or sets something for. A database says otherwise when it comes from elsewhere; env.php is
 *               above it.
 */

declare(strict_types=1);

use Magento\Framework\Cache\Frontend\Adapter\SymfonyAdapterProvider;
use Magento\Framework\Component\ComponentRegistrar;

require 'vendor/autoload.php';

$types = [];
foreach ((new ComponentRegistrar())->getPaths(ComponentRegistrar::MODULE) as $module => $directory) {
    $file = $directory . '/etc/cache.xml';
    if (!is_file($file)) {
        continue;
    }
    $xml = simplexml_load_file($file);
    if ($xml === false) {
        throw new RuntimeException("etc/cache.xml of $module cannot be read");
    }
    foreach ($xml->type as $type) {
        $types[(string) $type['name']] = 1;
    }
}
ksort($types);

// What the build does where config.php says nothing, and what it does whatever config.php says: no bundles are made
// (--no-js-bundle), and merged files would be written at run time, into images that are not written to.
$default = [
    'js' => ['minify_files' => '0', 'merge_files' => '0', 'enable_js_bundling' => '0'],
    'css' => ['minify_files' => '0', 'merge_css_files' => '0'],
    'template' => ['minify_html' => '0'],
    'static' => ['sign' => '1'],
];
$never = ['merge_files', 'enable_js_bundling', 'merge_css_files'];
$config = is_file('app/etc/config.php') ? require 'app/etc/config.php' : [];
$said = $config['system'] ?? [];
$pinned = static function (array $sections) use ($default, $never): array {
    $values = $default;
    foreach ($values as $group => $fields) {
        foreach ($fields as $field => $_) {
            foreach (in_array($field, $never, true) ? [] : $sections as $section) {
                $values[$group][$field] = (string) ($section['dev'][$group][$field] ?? $values[$group][$field]);
            }
        }
    }
    return ['dev' => $values];
};
$system = ['default' => $pinned([$said['default'] ?? []])];
$scopes = $config['scopes'] ?? [];
$websites = [];
foreach ($scopes['websites'] ?? [] as $code => $website) {
    $websites[(string) $website['website_id']] = $code;
}
foreach (($scopes['websites'] ?? []) + ($said['websites'] ?? []) as $code => $_) {
    $system['websites'][$code] = $pinned([$said['default'] ?? [], $said['websites'][$code] ?? []]);
}
foreach (($scopes['stores'] ?? []) + ($said['stores'] ?? []) as $code => $_) {
    $website = $websites[(string) ($scopes['stores'][$code]['website_id'] ?? '')] ?? '';
    $system['stores'][$code] = $pinned([$said['default'] ?? [], $said['websites'][$website] ?? [], $said['stores'][$code] ?? []]);
}

$facts = [
    'cache_types' => $types,
    'cache_backend' => class_exists(SymfonyAdapterProvider::class) ? 'redis' : 'Magento\\Framework\\Cache\\Backend\\Redis',
    'system' => $system,
];
$php = "<?php\n// What the build knows and env.php needs; the build wrote it.\nreturn " . var_export($facts, true) . ";\n";
if (file_put_contents('generated/magecloudkit.php', $php) === false) {
    throw new RuntimeException('generated/magecloudkit.php cannot be written');
}
