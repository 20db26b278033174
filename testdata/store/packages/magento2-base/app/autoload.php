<?php

declare(strict_types=1);

$vendorDir = require BP . '/app/etc/vendor_path.php';
$vendorAutoload = BP . '/' . $vendorDir . '/autoload.php';

if (!is_readable($vendorAutoload)) {
    throw new \Exception("Vendor autoload is not found. Please run 'composer install' under application root directory.");
}

return require $vendorAutoload;
