<?php
/**
 * Runs before static content is deployed, in the copy of the store that this step works in. Magento then wants a default
 * website and a store view, and a build has no database to read them from. A config.php without them gets a fresh
 * installation's; the images' config.php stays as the store has it, since scopes there make setup:install and
 * app:config:import fail.
 */

declare(strict_types=1);

$file = 'app/etc/config.php';
$config = is_file($file) ? require $file : [];
if (!empty($config['scopes']['websites']) && !empty($config['scopes']['stores'])) {
    return;
}
$website = static fn(string $id, string $code, string $name): array => [
    'website_id' => $id, 'code' => $code, 'name' => $name, 'sort_order' => '0', 'default_group_id' => $id, 'is_default' => $id,
];
$group = static fn(string $id, string $code, string $name, string $category): array => [
    'group_id' => $id, 'website_id' => $id, 'name' => $name, 'root_category_id' => $category, 'default_store_id' => $id, 'code' => $code,
];
$view = static fn(string $id, string $code, string $name): array => [
    'store_id' => $id, 'code' => $code, 'website_id' => $id, 'group_id' => $id, 'name' => $name, 'sort_order' => '0', 'is_active' => '1',
];
$config['scopes'] = [
    'websites' => ['admin' => $website('0', 'admin', 'Admin'), 'base' => $website('1', 'base', 'Main Website')],
    'groups' => [$group('0', 'default', 'Default', '0'), $group('1', 'main_website_store', 'Main Website Store', '2')],
    'stores' => ['admin' => $view('0', 'admin', 'Admin'), 'default' => $view('1', 'default', 'Default Store View')],
];
if (file_put_contents($file, "<?php\nreturn " . var_export($config, true) . ";\n") === false) {
    throw new RuntimeException("$file cannot be written");
}
