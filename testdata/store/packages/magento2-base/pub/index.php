<?php

/** Stand-in for the store's entry point. */

declare(strict_types=1);

try {
    require __DIR__ . '/../app/bootstrap.php';
} catch (\Exception $e) {
    http_response_code(500);
    echo 'Autoload error: ', htmlspecialchars($e->getMessage());
    exit(1);
}

(new Magento\Framework\App\Http(BP))->launch();
